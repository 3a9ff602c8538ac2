"""3x3 convolution of a bilinearly upsampled map, computed without the upsampled map.

Upsampling U and convolution are linear and can be exchanged, exactly:

    conv3x3(U x) = sum over the kernel's taps (a, b) of  S_a U (W_ab . x) U^T S_b^T

with W_ab the 1x1 slices of the kernel and S_a the shift by a, which fills in the zeros of "same"
padding. So: one matrix product at low resolution to 9 F channels, then interpolation and shift
along the columns (9 F -> 3 F), then along the rows (3 F -> F). The two interpolations are matrix
products as well. Their matrices are banded, so the map is cut into blocks with a border of one
pixel, each interpolated by a small dense matrix: the cost is linear in the image's area.

The order of the axes is chosen so that nothing is transposed: the vertical tap becomes an axis in
front of the rows, the horizontal one is merged with the columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_unet3p.layers.bilinear_upsampling2d import upsample_bilinear

_BLOCK = 32
"""Length of the blocks, in low-resolution pixels, if the map's size allows it."""


def upsample_then_convolve(x, kernel, bias, factor: int):
    """The plain way: the upsampled map is made, then convolved."""
    y = tf.nn.conv2d(upsample_bilinear(x, factor), kernel, 1, "SAME")
    return y if bias is None else tf.nn.bias_add(y, bias)


def convolve_then_upsample(x, kernel, bias, factor: int):
    """The same result at low resolution.

    Args:
        x: (B, h, w, C), floating.
        kernel: (3, 3, C, F), of the type of `x`.
        bias: (F,), of the type of `x`, or None.
        factor: integer, 1 or more.

    Returns:
        (B, factor * h, factor * w, F), of the type of `x`.
    """
    channels, filters = kernel.shape[2], kernel.shape[3]
    dynamic = tf.shape(x)
    batch = dynamic[0] if x.shape[0] is None else x.shape[0]
    rows = _Axis(dynamic[1] if x.shape[1] is None else x.shape[1], factor)
    columns = _Axis(dynamic[2] if x.shape[2] is None else x.shape[2], factor)

    blocks = tf.reshape(
        _windows(x, rows, columns),
        (batch * rows.blocks, 1, rows.window * columns.blocks * columns.window, channels),
    )
    taps = tf.reshape(tf.transpose(kernel, (0, 2, 1, 3)), (1, 3, channels, 3 * filters))
    # (batch and row block, vertical tap, pixels, horizontal tap and filter)
    y = tf.matmul(blocks, taps)
    # Interpolation keeps constants, so the bias may go in at the middle tap. Where that map is
    # smaller than the result, it is cheaper there.
    early = factor**2 > 9
    if bias is not None and early:
        y += tf.pad(bias[None, None, None], [[0, 0], [1, 1], [0, 0], [filters, filters]])
    y = tf.reshape(
        y, (batch * rows.blocks * 3 * rows.window, columns.blocks, columns.window * 3, filters)
    )
    y = tf.matmul(columns.matrix((0, 1, 2, 3), x.dtype), y)
    y = tf.reshape(
        y, (batch, rows.blocks, 3 * rows.window, columns.blocks * columns.outputs * filters)
    )
    y = tf.matmul(rows.matrix((0, 1, 3, 2), x.dtype), y)
    y = tf.reshape(
        y, (batch, rows.blocks * rows.outputs, columns.blocks * columns.outputs, filters)
    )
    y = y[:, : rows.size * factor, : columns.size * factor]
    y.set_shape(
        (
            x.shape[0],
            *(None if size is None else factor * size for size in x.shape[1:3]),
            filters,
        )
    )
    return y if bias is None or early else tf.nn.bias_add(y, bias)


def _windows(x, rows: _Axis, columns: _Axis) -> Any:
    """(B, h, w, C) as blocks with their borders: (B, all blocks' rows, all blocks' columns, C)."""
    if not rows.border and not columns.border:
        return x
    channels = x.shape[3]
    height, width = rows.blocks * rows.window, columns.blocks * columns.window
    index = rows.index()[:, None] * columns.size + columns.index()[None]

    def cut(x):
        pixels = tf.reshape(x, (-1, rows.size * columns.size, channels))
        windows = tf.gather(pixels, tf.reshape(index, (-1,)), axis=1)
        return tf.reshape(windows, (-1, height, width, channels))

    def add_up(upstream):
        y = columns.add_up(upstream, channels)
        y = rows.add_up(y, columns.size * channels)
        return tf.reshape(y, (-1, rows.size, columns.size, channels))

    if not (rows.static and columns.static):
        # A SavedModel cannot hold a custom gradient that uses sizes known only in the graph.
        return cut(x)
    return tf.custom_gradient(lambda x: (cut(x), add_up))(x)


class _Axis:
    """How one axis is cut into blocks, and the matrices that interpolate a block.

    Every number is a Python integer, or an integer tensor where the size is not known before the
    graph runs.
    """

    def __init__(self, size, factor: int):
        self.size = size
        self.factor = factor
        self.static = isinstance(size, int)
        if self.static:
            # A short axis is one block and needs no border. A long one is cut without a remainder
            # if blocks of about the wanted length do that.
            longest = _BLOCK * 3 // 2
            self.blocks = 1 if size <= longest else -(-size // _BLOCK)
            even = [n for n in range(2, 2 * self.blocks) if size % n == 0 and size // n <= longest]
            if self.blocks > 1 and even:
                self.blocks = min(even, key=lambda n: abs(n - self.blocks))
        else:
            self.blocks = tf.maximum(1, (size + _BLOCK - 1) // _BLOCK)
        self.block = -(-size // self.blocks)
        self.border = 0 if self.static and self.blocks == 1 else 1
        self.window = self.block + 2 * self.border
        self.outputs = self.block * factor

    def index(self):
        """The pixels of all windows. Beyond the ends the border repeats pixels; the matrices
        ignore those."""
        arange = np.arange if self.static else tf.range
        index = (arange(self.blocks) * self.block)[:, None] + arange(self.window) - self.border
        if self.static:
            return np.clip(index, 0, self.size - 1).reshape(-1)
        return tf.reshape(tf.clip_by_value(index, 0, self.size - 1), (-1,))

    def add_up(self, windows, inner: int):
        """The gradient of cutting: every border is added to the block that it was taken from.

        `windows` is seen as (-1, windows' pixels, inner); (-1, size, inner) comes back.
        """
        if not self.border:
            return windows
        w = tf.reshape(windows, (-1, self.blocks, self.window, inner))
        nothing = tf.zeros_like(w[:, :1, :1])
        first = w[:, :, 1:2] + tf.concat([nothing, w[:, :-1, -1:]], axis=1)
        last = w[:, :, -2:-1] + tf.concat([w[:, 1:, :1], nothing], axis=1)
        w = tf.concat([first, w[:, :, 2:-2], last], axis=2)
        return tf.reshape(w, (-1, self.blocks * self.block, inner))[:, : self.size]

    def matrix(self, order, dtype):
        """Interpolation and shifted sum of the three taps, for every block.

        Axes: block, output pixel, and (window pixel, tap) permuted by `order` and then merged.
        """
        arange = np.arange if self.static else tf.range
        where = np.where if self.static else tf.where
        block = arange(self.blocks)[:, None, None, None]
        output = block * self.outputs + arange(self.outputs)[None, :, None, None]
        source = block * self.block + arange(self.window)[None, None, :, None] - self.border
        shifted = output + (arange(3) - 1)  # the upsampled pixel that the tap reads
        inside = (shifted >= 0) & (shifted < self.size * self.factor)
        # In units of half an output pixel all of these are integers. As float32 pixels, the
        # coordinates of a long axis would lose the fractions that the weights are made of.
        unit = 2 * self.factor
        clip = np.clip if self.static else tf.clip_by_value
        centre = clip(2 * shifted + 1 - self.factor, 0, unit * (self.size - 1))
        weight: Any = unit - abs(centre - unit * source)
        weight = where(inside & (weight > 0), weight, 0)
        if self.static:
            weight = weight.transpose(order).reshape(self.blocks, self.outputs, 3 * self.window)
            return tf.constant(weight / unit, dtype)
        weight = tf.reshape(
            tf.transpose(weight, order), (self.blocks, self.outputs, 3 * self.window)
        )
        return tf.cast(tf.cast(weight, tf.float32) / unit, dtype)


def low_resolution_pays(channels: int, factor: int) -> bool:
    """Whether `convolve_then_upsample` is the faster of the two ways.

    Measured forward and backward on a CPU with `benchmarks/upsample_conv2d.py --more`: the two
    ways meet near 48 input channels for factor 2, 24 for factor 4, 12 for 8 and 6 for 16, whatever
    the size of the map; the number of filters matters little.
    """
    return factor > 1 and channels * factor >= 96
