"""Maps smoothed in whole numbers, so that windows, images and graphs have the same bits."""

from __future__ import annotations

import numpy as np

LEVELS = 65535
"""What a value of 1 becomes: 256 times as much is a whole number that float32 still holds."""
WEIGHTS = (1, 4, 6, 4, 1)
"""Of a pass along rows, then along columns: a binomial filter, whose variance is 1."""
REACH = 2
"""Pixels that a pass looks to each side."""


def smoothed(values: np.ndarray, passes: int) -> np.ndarray:
    """A map after so many passes of a binomial filter, a Gaussian of the variance `passes`.

    Beyond the image its outermost pixels go on. Values are rounded to 16 bits before each pass and
    added as integers; `smoothed_in_graph` gives the same bits.

    Args:
        values: (H, W) float32 in [0, 1]; what is not a number counts as 0.
        passes: 0 leaves them as they are.

    Returns:
        (H, W) float32.

    Example:
        >>> line = np.zeros((1, 7), np.float32)
        >>> line[0, 3] = 1
        >>> (smoothed(line, 1) * 16).tolist()
        [[0.0, 1.0, 4.0, 6.0, 4.0, 1.0, 0.0]]
    """
    if not passes:
        return values
    values = np.clip(np.where(np.isnan(values), np.float32(0), values), 0, 1)
    levels = np.rint(values * np.float32(LEVELS)).astype(np.int32)
    for number in range(passes):
        if number:
            levels = (levels + 128) >> 8
        for axis in (0, 1):
            length = levels.shape[axis]
            taps = [
                np.take(levels, np.clip(np.arange(length) + step, 0, length - 1), axis)
                for step in range(-REACH, REACH + 1)
            ]
            levels = sum(weight * tap for weight, tap in zip(WEIGHTS, taps, strict=True))
    return levels.astype(np.float32) / np.float32(LEVELS * 256)
