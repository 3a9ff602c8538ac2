"""The black and the white of one image, by which a network may have every image stretched.

The percentiles come from a histogram of 65,536 bins, which is exact for integers of 8 and 16 bits,
takes one pass, and can be summed up window by window. A served graph finds the same values
(`layers.stretching`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keras_unet3p.images.unit_values import scaled

BINS = 1 << 16
LEAST_RANGE = 2.0 / (BINS - 1)
"""Of the histogram's width: an image with less between its percentiles is divided by this."""

_PIXELS_AT_ONCE = 1 << 22


class IntensityHistogram:
    """Counts of unit values, for each channel.

    Args:
        channels: of the image.
        low, high: values of the first and the last bin. Values beyond them count there.

    Example:
        >>> histogram = IntensityHistogram(channels=1)
        >>> histogram.add(np.linspace(0, 1, 1001, dtype=np.float32)[:, np.newaxis])
        >>> low, high = histogram.range_of((10.0, 90.0))
        >>> round(float(low[0]), 3), round(float(high[0]), 3)
        (0.1, 0.9)
    """

    def __init__(self, channels: int, low: float = 0.0, high: float = 1.0) -> None:
        self._low, self._width = np.float32(low), np.float32(high) - np.float32(low)
        self._counts = np.zeros((channels, BINS), np.int64)

    def add(self, values: np.ndarray) -> None:
        """Count values (..., channels): float32, or of a histogram from 0 to 1 uint8 or uint16."""
        if values.dtype.kind == "u":
            largest = np.iinfo(values.dtype).max
            for channel, counts in enumerate(self._counts):
                found = np.bincount(values[..., channel].ravel(), minlength=largest + 1)
                counts[:: (BINS - 1) // largest] += found
            return
        per_unit = np.float32(BINS - 1) / self._width if self._width > 0 else np.float32(0)
        bins = np.floor((values - self._low) * per_unit + np.float32(0.5))
        bins = np.clip(bins, 0, BINS - 1).astype(np.int64)
        for channel, counts in enumerate(self._counts):
            counts += np.bincount(bins[..., channel].ravel(), minlength=BINS)

    def range_of(self, percentiles: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
        """Two values for each channel, float32 (channels,): these percentiles, by nearest rank.

        The second is above the first, by `LEAST_RANGE` of the histogram's width or more.
        """
        sums = np.cumsum(self._counts, axis=1)
        ends = [self._percentile(sums, percentile) for percentile in percentiles]
        least = max(float(self._width) * LEAST_RANGE, float(np.abs(ends[0]).max()) * 1e-6, 1e-12)
        least = np.float32(least)
        return ends[0], np.maximum(ends[1], ends[0] + least)

    def _percentile(self, sums: np.ndarray, percentile: float) -> np.ndarray:
        rank = np.maximum(np.ceil(sums[:, -1:] * (percentile / 100.0)), 1)
        bins = np.sum(sums < rank, axis=1)
        return self._low + bins.astype(np.float32) * (self._width / np.float32(BINS - 1))


def intensity_range(
    image: np.ndarray, percentiles: tuple[float, float], value_scale: str = "unit"
) -> tuple[np.ndarray, np.ndarray]:
    """The values that become 0 and 1 when an image is stretched, for each channel.

    Args:
        image: stored pixels (H, W, C), or anything of that shape that rows can be sliced from.
        percentiles: which ones, 0 to 100.
        value_scale: the rule for stored values; see `Normalization`.

    Returns:
        Two arrays (C,) of unit values (of stored values under "raw"), float32.

    Example:
        >>> low, high = intensity_range(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), (0, 100))
        >>> low.tolist(), high.tolist()
        ([0.0], [1.0])
    """
    height, width = image.shape[:2]
    rows = max(_PIXELS_AT_ONCE // width, 1)

    def windows() -> Iterator[np.ndarray]:
        for y in range(0, height, rows):
            window = np.asarray(image[y : y + rows])
            if value_scale == "raw" or window.dtype not in (np.uint8, np.uint16):
                window = scaled(window, value_scale)
            yield window if window.ndim == 3 else window[..., np.newaxis]

    low, high = 0.0, 1.0
    if value_scale == "raw":  # the scale is the image's own
        ends = [(float(window.min()), float(window.max())) for window in windows()]
        low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    histogram = IntensityHistogram(image.shape[2] if image.ndim == 3 else 1, low, high)
    for window in windows():
        histogram.add(window)
    return histogram.range_of(percentiles)


def stretch(
    values: np.ndarray, low: np.ndarray, high: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """`(values - low) / (high - low)` for each channel, float32.

    Example:
        >>> low, high = np.float32([0.25]), np.float32([0.75])
        >>> stretch(np.array([[0.25], [0.5]], np.float32), low, high).tolist()
        [[0.0], [0.5]]
    """
    out = np.subtract(values, low, out=out)
    out *= np.float32(1.0) / (high - low)
    return out
