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
FLOOR = 0.01


@compat.register
class MSSSIM(RegionLoss):
    """1 - multi-scale SSIM of mask and probability, for each image and class, then the mean.

    Wang, Simoncelli and Bovik 2003, equation 7, with values in [0, 1]: the product over five scales
    of the mean contrast-structure term and, at the coarsest, the mean SSIM, raised to the weights
    0.0448, 0.2856, 0.3001, 0.2363, 0.1333; Gaussian window 11x11 of sigma 1.5, C1 = 0.01^2,
    C2 = 0.03^2, no padding; halving by 2x2 means.

    Smaller images take as many scales as leave the window inside the image (81: 4, 41: 3, 21: 2,
    11: 1), with the weights divided by their sum; below 11 pixels the window shrinks to the image.
    With height or width unknown in the graph the number is found at run time.

    The powers of the formula have an infinite slope where a mean contrast-structure term falls to 0
    (structures without any correlation), and no value below (opposed ones). The SSIM of the
    coarsest scale is the mean luminance, which is never below C1 / (1 + C1), times the mean of the
    contrast-structure terms with luminances as weights. With t one of the contrast-structure means:

    - Where all t are at least 0.01 the value is that of `tf.image.ssim_multiscale`, which is
      defined from 161 pixels a side.
    - Below, t is replaced by 0.01^2 / (0.02 - t), which has the same value and slope at 0.01, falls
      monotonically and stays above 0, and w (0.01 - t)^2 / 2 is added to the loss. There
      `tf.image.ssim_multiscale` falls to 0 (a loss of 1); this loss is below 1 for uncorrelated
      structures, and between 1 and 1.51 for wholly opposed ones, from which it leads away.

    So value and gradient belong together everywhere. The magnitudes of the gradient add up to less
    than 1000 over the pixels of an image (the largest found are those of an empty prediction of a
    full mask: 780).

    Per-pixel `sample_weight` does not reach this loss. Ignored pixels are 0 in both images.

    Args:
        include_background: Whether class 0 of a softmax takes part in the mean over classes.
        class_weights: Weights of the classes in that mean.
        from_logits, multi_label, ignore_class, reduction, name, dtype: See `SegmentationLoss`.

    Example:
        >>> mask = np.tri(32)[np.newaxis]
        >>> prediction = np.full((1, 32, 32, 1), 0.5)
        >>> loss = ku.losses.MSSSIM()
        >>> round(float(loss(mask, prediction)), 3)
        0.982
        >>> round(float(loss(mask, mask[..., np.newaxis])), 3)
        0.0
    """

    default_name = "ms_ssim"

    def class_values(self, batch: Batch):
        truth, probabilities = batch.truth, tf.clip_by_value(batch.probabilities, 0.0, 1.0)
        if batch.valid is not None:
            probabilities *= batch.valid
        return multi_scale_dissimilarity(truth, probabilities)


def multi_scale_dissimilarity(truth, probabilities) -> Any:
    """The loss, (B, K), of two (B, H, W, K) tensors of one floating type with values in [0, 1]."""
    height, width = probabilities.shape[1:3]
    if height is None or width is None:
        return _with_unknown_size(truth, probabilities)
    num_scales = number_of_scales(min(height, width))
    structures = []
    for _ in range(num_scales - 1):
        structures.append(_structure_and_luminance(truth, probabilities)[0])
        truth, probabilities = _halved(truth), _halved(probabilities)
    _, structure, luminance = _structure_and_luminance(truth, probabilities)
    weights = tf.constant(_WEIGHTS[num_scales - 1, :num_scales], truth.dtype)
    return _dissimilarity(tf.stack([*structures, structure], -1), luminance, weights, weights[-1])


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
    # ceil(shortest / 2^scale) >= WINDOW
    fits = [shortest > 2**scale * (WINDOW - 1) for scale in range(1, len(SCALE_WEIGHTS))]
    num_scales = 1 + tf.reduce_sum(tf.cast(tf.stack(fits), tf.int32))
    structures, luminance = [], tf.ones((), truth.dtype)
    for scale in range(len(SCALE_WEIGHTS)):
        if scale:
            truth = _padded_to_window(_halved(truth))
            probabilities = _padded_to_window(_halved(probabilities))
        plain, weighted, mean_luminance = _structure_and_luminance(truth, probabilities)
        is_last = tf.equal(num_scales, scale + 1)
        structures.append(tf.where(is_last, weighted, plain))
        luminance = tf.where(is_last, mean_luminance, luminance)
    weights = tf.constant(_WEIGHTS, truth.dtype)[num_scales - 1]
    return _dissimilarity(tf.stack(structures, -1), luminance, weights, weights[num_scales - 1])


def _structure_and_luminance(x, y):
    """Means over an image, (B, K) each, of one scale's terms.

    The contrast-structure term, the same with the luminance term as weights, and the luminance
    term. The product of the last two is the mean SSIM.
    """
    # With d = y - x, the sum of the variances of x and y is var(d) + 2 cov(x, y), and that of the
    # squared means is (mean d)^2 + 2 (mean x) (mean y). Both terms are then exactly 1 where d is 0,
    # and what rounding does to a covariance is scaled down by the distance of the terms from 1. A
    # variance does not change with a shift, and loses less to rounding about 0.
    difference = y - x
    shift = tf.stop_gradient(tf.reduce_mean(difference, axis=(1, 2), keepdims=True))
    difference -= shift
    maps = _gaussian_filtered(tf.concat([x, difference, x * y, difference * difference], axis=0))
    mean_x, mean_difference, mean_xy, mean_squares = tf.split(maps, 4, axis=0)
    variance = mean_squares - mean_difference * mean_difference
    mean_difference += shift
    mean_y = mean_x + mean_difference
    contrast = 2.0 * (mean_xy - mean_x * mean_y) + C2
    structure = contrast / (contrast + variance)
    bright = 2.0 * mean_x * mean_y + C1
    luminance = bright / (bright + mean_difference * mean_difference)
    mean_luminance = tf.reduce_mean(luminance, axis=(1, 2))
    weighted = tf.reduce_mean(luminance * structure, axis=(1, 2)) / mean_luminance
    return tf.reduce_mean(structure, axis=(1, 2)), weighted, mean_luminance


def _dissimilarity(structures, luminance, weights, luminance_weight):
    """1 - luminance^v product t^w, continued below the floor, of means (B, K, scales), (B, K)."""
    opposed = tf.nn.relu(FLOOR - structures)
    continued = tf.where(opposed > 0.0, FLOOR**2 / (FLOOR + opposed), structures)
    logarithm = tf.reduce_sum(weights * tf.math.log(continued), axis=-1)
    logarithm += luminance_weight * tf.math.log(luminance)
    penalty = tf.reduce_sum(weights * opposed * opposed, axis=-1) / 2.0
    # Rounding may leave the similarity of equal images a few units above 1.
    return tf.nn.relu(-tf.math.expm1(logarithm)) + penalty


def _gaussian_filtered(images):
    """Gaussian window over (N, H, W, K), inside the image only, axes swapped: (N, W', H', K).

    Both passes go down the columns of an image whose rows are taken as channels, the only layout in
    which a CPU's depthwise convolution uses its vector units; SSIM does not mind the transposition.
    A depthwise convolution, unlike others and matrix products, keeps float32 on GPUs with TF32.
    """
    for _ in range(2):
        batch, height, width, channels = _sizes(images)
        window = tf.minimum(WINDOW, height) if tf.is_tensor(height) else min(WINDOW, height)
        kernel = tf.constant(_WINDOWS, images.dtype)[window, :window]
        kernel = tf.reshape(kernel, [window, 1, 1, 1])
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
    """Gaussian windows of 0 to 11 pixels, one per row. Each sums to 1 exactly.

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
    """Weights of the scales for 1 to 5 of them, one per row.

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
