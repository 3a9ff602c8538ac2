"""Bilinear upsampling with half-pixel centres."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p.compat import register
from keras_unet3p.errors import InputError


@register
class BilinearUpsampling2D(keras.layers.Layer):
    """Enlarges maps by an integer factor, bilinearly, with half-pixel centres.

    The same as `keras.layers.UpSampling2D(factor, interpolation="bilinear")`, and the result has
    the layer's compute type under every Keras.

    Args:
        factor: how many times higher and wider the output is; 1 or more.

    Input: (B, h, w, C). Output: (B, factor * h, factor * w, C).

    Example:
        >>> row = np.array([[[[0.0], [1.0]]]])
        >>> ku.layers.BilinearUpsampling2D(2)(row).numpy()[0, 0, :, 0].tolist()
        [0.0, 0.25, 0.75, 1.0]
    """

    def __init__(self, factor: int, **kwargs):
        super().__init__(**kwargs)
        if factor < 1:
            raise InputError(f"BilinearUpsampling2D: factor must be 1 or more, found {factor}")
        self.factor = factor

    def call(self, inputs):
        return upsample_bilinear(inputs, self.factor)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (
            batch,
            None if height is None else height * self.factor,
            None if width is None else width * self.factor,
            channels,
        )

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def upsample_bilinear(x, factor: int):
    """`x` (B, h, w, C) enlarged to (B, factor * h, factor * w, C), in the type of `x`."""
    if factor == 1:
        return x
    if factor & (factor - 1):
        wide = x if x.dtype.size >= 4 else tf.cast(x, tf.float32)
        y = tf.cast(_enlarge(_enlarge(wide, factor, 1), factor, 2), x.dtype)
    else:
        y = _resize(x, factor)
    y.set_shape(
        (
            x.shape[0],
            *(None if size is None else factor * size for size in x.shape[1:3]),
            x.shape[3],
        )
    )
    return y


def _resize(x, factor: int):
    """TensorFlow's way, whose float32 coordinates are exact where the factor is a power of two."""
    size = tf.shape(x)[1:3] if None in x.shape[1:3] else np.array(x.shape[1:3])
    return tf.cast(tf.image.resize(x, size * factor, method="bilinear"), x.dtype)


def _enlarge(x, factor: int, axis: int):
    """Along one axis, exact for every factor and length.

    Each pixel becomes `factor` pixels, and what these take from the neighbour on their side is
    the same for all pixels: no coordinates are computed.
    """
    length = tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]
    edges = [[1, 1] if i == axis else [0, 0] for i in range(4)]
    padded = tf.pad(x, edges, "SYMMETRIC")
    before, after = (
        padded[:, start : start + length] if axis == 1 else padded[:, :, start : start + length]
        for start in (0, 2)
    )
    parts = []
    for place in range(factor):
        shift = (place + 0.5) / factor - 0.5  # of this part's centre from the pixel's
        share = tf.constant(abs(shift), x.dtype)
        parts.append(x + share * ((after if shift > 0 else before) - x) if shift else x)
    shape = tf.shape(x)
    new = [shape[i] * factor if i == axis else shape[i] for i in range(4)]
    return tf.reshape(tf.stack(parts, axis + 1), new)
