"""Pixel error."""

from __future__ import annotations

import numpy as np

from keras_unet3p.metrics._labels import checked_labels


def pixel_error(truth, prediction) -> float:
    """Share of the pixels whose class is wrong, in [0, 1]; the ISBI-2012 challenge's pixel error.

    Args:
        truth, prediction: (H, W) class ids (for a binary mask 0 and 1, or bool).

    Raises:
        ValueError: For shapes that differ or values that are not labels.

    Example:
        >>> ku.metrics.pixel_error(np.array([[0, 1, 2, 2]]), np.array([[0, 1, 1, 2]]))
        0.25
    """
    truth, prediction = checked_labels(truth, prediction)
    return float(np.mean(truth != prediction))
