"""Hausdorff distance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import ndimage

from keras_unet3p.errors import InputError
from keras_unet3p.metrics._labels import checked_labels


def hausdorff_distance(
    truth,
    prediction,
    *,
    percentile: float = 95.0,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> float:
    """Symmetric Hausdorff distance of the borders of two masks, robust by a percentile.

    The larger of the two percentiles of the distances from each border pixel of one mask to the
    nearest of the other; 100 is the classic maximum. Border pixels are foreground with a
    background 4-neighbour or at the image's edge. Two empty masks have the distance 0; if only
    one is empty, the distance is the image's diagonal, the largest there can be.

    Between two distances a percentile is interpolated linearly, as by `numpy.percentile`. Other
    tools pool the distances of both directions before they take it, or weight border pixels by
    their length: their values differ from these. Distances are exact Euclidean ones (SciPy's
    transform); OpenCV, whose are approximate by default, has no part in them, whatever its version.

    Args:
        truth, prediction: (H, W) masks, foreground above 0.
        percentile: In (0, 100].
        spacing: Height and width of a pixel; the distance has their unit.

    Raises:
        ValueError: For shapes that differ, values that are not labels, a percentile out of range.

    Example:
        >>> truth, prediction = np.zeros((2, 20, 20), bool)
        >>> truth[5:10, 5:10] = True
        >>> prediction[5:10, 8:13] = True
        >>> ku.metrics.hausdorff_distance(truth, prediction, percentile=100.0)
        3.0
    """
    if not 0.0 < percentile <= 100.0:
        raise InputError(f"percentile must be above 0 and at most 100; received {percentile}.")
    truth, prediction = checked_labels(truth, prediction)
    borders = [_border(labels > 0) for labels in (truth, prediction)]
    present = [border.any() for border in borders]
    if not any(present):
        return 0.0
    if not all(present):
        height, width = truth.shape
        return math.hypot((height - 1) * spacing[0], (width - 1) * spacing[1])
    distances = []
    for start, to in (borders, borders[::-1]):
        to_border: Any = ndimage.distance_transform_edt(~to, sampling=spacing)
        distances.append(float(np.percentile(to_border[start], percentile)))
    return max(distances)


def _border(mask: np.ndarray) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask)
