"""Multi-scale structural similarity loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from keras_unet3p import compat
from keras_unet3p.losses._batch import Batch
from keras_unet3p.losses._region_loss import RegionLoss

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2
GRADIENT_FLOOR = 1e-3


@compat.register
class MSSSIM(RegionLoss):
    """1 - multi-scale SSIM of mask and probability, for each image and class, then the mean.

    Wang, Simoncelli and Bovik 2003, equation 7, with values in [0, 1]: the product over five scales
    of the mean contrast-structure term and, at the coarsest, the mean SSIM, raised to the weights
    0.0448, 0.2856, 0.3001, 0.2363, 0.1333; Gaussian window 11x11 of sigma 1.5, C1 = 0.01^2,
    C2 = 0.03^2, no padding; halving by 2x2 means. The value is that of `tf.image.ssim_multiscale`
    where that is defined, from 161 pixels a side.

    Smaller images take as many scales as leave the window inside the image (81: 4, 41: 3, 21: 2,
    11: 1), with the weights divided by their sum; below 11 pixels the window shrinks to the image.
    With height or width unknown in the graph the number is found at run time.

    The gradient is finite everywhere. A negative mean term makes the value 0 and the exact gradient
    infinite or zero; below 0.001 the terms are differentiated as if they were 0.001, which
    lets an inverted prediction recover.

    Per-pixel `sample_weight` does not reach this loss. Ignored pixels are 0 in both images.

    Args:
      include_background: Whether class 0 of a softmax takes part in the mean over classes.
      class_weights: Weights of the classes in that mean.
      from_logits, multi_label, ignore_class, reduction, name: See `SegmentationLoss`.
    """

    default_name = "ms_ssim"

    def class_values(self, batch: Batch):
        truth, probabilities = batch.truth, batch.probabilities
        if batch.valid is not None:
            probabilities *= batch.valid
        # Rounding may leave the similarity of equal images a few units above 1.
        return tf.nn.relu(1.0 - multi_scale_ssim(truth, probabilities))


def multi_scale_ssim(truth, probabilities) -> Any:
    """Multi-scale SSIM, (B, K) in [0, 1], of two (B, H, W, K) float32 tensors in [0, 1]."""
    height, width = probabilities.shape[1:3]
    if height is None or width is None:
        return _with_unknown_size(truth, probabilities)
    num_scales = number_of_scales(min(height, width))
    terms = []
    for scale in range(num_scales):
        if scale:
            truth, probabilities = _halved(truth), _halved(probabilities)
        contrast_structure, similarity = _ssim_means(truth, probabilities)
        terms.append(similarity if scale == num_scales - 1 else contrast_structure)
    weights = _WEIGHTS[num_scales - 1, :num_scales]
    return _weighted_product(tf.stack(terms, axis=-1), tf.constant(weights))


def number_of_scales(side: int) -> int:
    """Number of scales for an image whose shorter side is `side` pixels."""
    scales = 1
    while scales < len(SCALE_WEIGHTS) and math.ceil(side / 2**scales) >= WINDOW:
        scales += 1
    return scales


def _with_unknown_size(truth, probabilities):
    """The same with the number of scales found at run time.

    All scales are computed, those beyond the last one on images padded up to the window (they are
    tiny), with the weight 0. Branches would cost more, and XLA would compile the impossible ones.
    """
    shortest = tf.reduce_min(tf.shape(probabilities)[1:3])
    fits = [tf.constant(True)]
    for scale in range(1, len(SCALE_WEIGHTS)):
        fits.append(shortest > 2**scale * (WINDOW - 1))  # ceil(shortest / 2^scale) >= WINDOW
    terms = []
    for scale, fit in enumerate(fits):
        if scale:
            truth = _padded_to_window(_halved(truth))
            probabilities = _padded_to_window(_halved(probabilities))
        contrast_structure, similarity = _ssim_means(truth, probabilities)
        continues = fits[scale + 1] if scale + 1 < len(fits) else tf.constant(False)
        is_last = tf.logical_and(fit, tf.logical_not(continues))
        terms.append(tf.where(is_last, similarity, contrast_structure))
    num_scales = tf.reduce_sum(tf.cast(tf.stack(fits), tf.int32))
    return _weighted_product(tf.stack(terms, axis=-1), tf.constant(_WEIGHTS)[num_scales - 1])


def _ssim_means(x, y):
    """Means over an image of the contrast-structure term and of the whole SSIM, (B, K) each."""
    # Variances do not change with a shift, and lose less to rounding about the middle of the range.
    x, y = x - 0.5, y - 0.5
    maps = _gaussian_filtered(tf.concat([x, y, x * y, x * x + y * y], axis=0))
    mean_x, mean_y, mean_xy, mean_squares = tf.split(maps, 4, axis=0)
    covariance = mean_xy - mean_x * mean_y
    variances = mean_squares - (mean_x * mean_x + mean_y * mean_y)
    mean_x, mean_y = mean_x + 0.5, mean_y + 0.5
    luminance = (2.0 * mean_x * mean_y + C1) / (mean_x * mean_x + mean_y * mean_y + C1)
    contrast_structure = (2.0 * covariance + C2) / (variances + C2)
    contrast_structure_mean = tf.reduce_mean(contrast_structure, axis=(1, 2))
    similarity = tf.reduce_mean(luminance * contrast_structure, axis=(1, 2))
    # Where structures are opposed, a better luminance makes their product worse. There the sum
    # gives the direction.
    direction = contrast_structure_mean + tf.reduce_mean(luminance, axis=(1, 2))
    opposed = direction + tf.stop_gradient(similarity - direction)
    return contrast_structure_mean, tf.where(similarity > GRADIENT_FLOOR, similarity, opposed)


def _gaussian_filtered(images):
    """Gaussian window over (N, H, W, K), inside the image only, axes swapped: (N, W', H', K).

    Both passes go down the columns of an image whose rows are taken as channels, the only layout in
    which a CPU's depthwise convolution uses its vector units; SSIM does not mind the transposition.
    A depthwise convolution, unlike others and matrix products, keeps float32 on GPUs with TF32.
    """
    for _ in range(2):
        batch, height, width, channels = _sizes(images)
        window = tf.minimum(WINDOW, height) if tf.is_tensor(height) else min(WINDOW, height)
        kernel = tf.reshape(tf.constant(_WINDOWS)[window, :window], [window, 1, 1, 1])
        rows = tf.nn.depthwise_conv2d(
            tf.reshape(images, [batch, height, 1, width * channels]),
            tf.tile(kernel, [1, 1, width * channels, 1]),
            strides=[1, 1, 1, 1],
            padding="VALID",
        )
        rows = tf.reshape(rows, [batch, height - window + 1, width, channels])
        images = tf.transpose(rows, [0, 2, 1, 3])
    return images


def _sizes(images) -> list[Any]:
    """Sizes of the axes, as integers where the graph knows them."""
    shape = tf.shape(images)
    return [shape[axis] if size is None else size for axis, size in enumerate(images.shape)]


def _windows():
    """Gaussian windows of 0 to 11 pixels, one a row. Each sums to 1 exactly.

    A sum off by one unit in the last place would bias the variances, E[x^2] - E[x]^2, which are
    compared with C2 = 0.0009.
    """
    windows = np.zeros([WINDOW + 1, WINDOW], np.float32)
    for size in range(1, WINDOW + 1):
        offsets = np.arange(size) - (size - 1) / 2.0
        kernel = np.exp(-(offsets**2) / (2.0 * SIGMA**2))
        windows[size, :size] = kernel / kernel.sum()
        windows[size, size // 2] += 1.0 - windows[size].sum(dtype=np.float64)
    return windows


def _weights():
    """Weights of the scales for 1 to 5 of them, one a row.

    The five add up to 1.0001 as published, and stay so; fewer are divided by their sum.
    """
    weights = np.tril(np.tile(np.asarray(SCALE_WEIGHTS), [len(SCALE_WEIGHTS), 1]))
    weights[:-1] /= weights[:-1].sum(axis=1, keepdims=True)
    return weights.astype(np.float32)


_WINDOWS, _WEIGHTS = _windows(), _weights()


def _halved(images):
    """Means of 2x2 pixels; an odd last row or column is repeated first."""
    _, height, width, _ = _sizes(images)
    odd = [height % 2, width % 2]
    if any(tf.is_tensor(extra) or extra for extra in odd):
        images = tf.pad(images, [[0, 0], [0, odd[0]], [0, odd[1]], [0, 0]], mode="SYMMETRIC")
    return tf.nn.avg_pool2d(images, 2, 2, padding="VALID")


def _padded_to_window(images):
    missing: Any = tf.unstack(tf.nn.relu(WINDOW - tf.shape(images)[1:3]))
    return tf.pad(images, [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]])


@tf.custom_gradient
def _weighted_product(terms, weights) -> Any:
    """Product of relu(terms) ** weights over the last axis, with a bounded gradient in `terms`."""
    value = tf.reduce_prod(tf.pow(tf.nn.relu(terms), weights), axis=-1)

    def gradient(upstream):
        floored = tf.maximum(terms, GRADIENT_FLOOR)
        product = tf.reduce_prod(tf.pow(floored, weights), axis=-1, keepdims=True)
        return tf.expand_dims(upstream, -1) * product * weights / floored, None

    return value, gradient
