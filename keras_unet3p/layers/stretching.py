"""`images.intensity_range` in a graph: the black and the white of each image of a batch."""

from __future__ import annotations

import tensorflow as tf

BINS = 1 << 16
LEAST_RANGE = 2.0 / (BINS - 1)

_PIXELS_AT_ONCE = 1 << 20


def intensity_range(
    image: tf.Tensor, percentiles: tuple[float, float], to_values=tf.identity, is_raw: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """The values that become 0 and 1 when an image is stretched, for each channel.

    The image is read in strips, so that no float copy of a whole one of 8 bits is made.

    Args:
        image: (H, W, C) of any numeric type.
        percentiles: which ones, 0 to 100, by nearest rank.
        to_values: what makes float32 unit values of a part of the image.
        is_raw: whether values may have any scale. Then the histogram reaches from the smallest to
            the largest value of the image, else from 0 to 1.

    Returns:
        Two float32 tensors (C,).
    """
    channels = int(image.shape[-1] or 0)  # known
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    rows = tf.maximum(_PIXELS_AT_ONCE // tf.maximum(width, 1), 1)
    low, extent = tf.zeros(()), tf.ones(())
    if is_raw:
        low = tf.cast(tf.reduce_min(image), tf.float32)
        extent = tf.cast(tf.reduce_max(image), tf.float32) - low
    per_unit = tf.math.divide_no_nan(tf.constant(BINS - 1, tf.float32), extent)

    def count(y: tf.Tensor, counts: tf.Tensor):
        values = to_values(image[y : y + rows])
        bins = tf.floor((values - low) * per_unit + 0.5)
        bins = tf.cast(tf.clip_by_value(bins, 0.0, BINS - 1.0), tf.int32)
        bins = tf.reshape(bins, (-1, channels)) + tf.range(channels) * BINS
        found = tf.math.bincount(
            tf.reshape(bins, (-1,)), minlength=channels * BINS, maxlength=channels * BINS
        )
        return y + rows, counts + tf.reshape(found, (channels, BINS))

    _, counts = tf.while_loop(
        lambda y, _: y < height,
        count,
        (0, tf.zeros((channels, BINS), tf.int32)),
        parallel_iterations=1,
    )
    sums = tf.cumsum(counts, axis=1)

    def value(percentile: float) -> tf.Tensor:
        total = tf.cast(sums[:, -1:], tf.float64)
        rank = tf.maximum(tf.math.ceil(total * tf.constant(percentile / 100.0, tf.float64)), 1.0)
        below = tf.cast(tf.cast(sums, tf.float64) < rank, tf.int32)
        bins = tf.cast(tf.reduce_sum(below, axis=1), tf.float32)
        return low + bins * (extent / (BINS - 1.0))

    first, last = value(percentiles[0]), value(percentiles[1])
    least = tf.maximum(extent * LEAST_RANGE, tf.reduce_max(tf.abs(first)) * 1e-6)
    least = tf.maximum(least, 1e-12)
    return first, tf.maximum(last, first + least)


def stretch(values: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """`(values - low) / (high - low)` for each channel, float32."""
    return (values - low) * (1.0 / (high - low))
