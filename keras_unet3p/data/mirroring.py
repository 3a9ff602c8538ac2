from __future__ import annotations

import numpy as np

from keras_unet3p.geometry import mirrored


def mirror_indices(start: int, stop: int, size: int) -> np.ndarray:
    """Indices into an axis of this size for positions start..stop-1, mirrored beyond its ends.

    The outermost pixel is not repeated (OpenCV's and NumPy's "reflect 101"), however far beyond.
    """
    return mirrored(np.arange(start, stop), size)


def mirrored_crop(array: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """A window of an array (height, width, ...) that may reach beyond it."""
    bottom, right = top + height, left + width
    if top >= 0 and left >= 0 and bottom <= array.shape[0] and right <= array.shape[1]:
        return array[top:bottom, left:right]
    rows = mirror_indices(top, bottom, array.shape[0])
    columns = mirror_indices(left, right, array.shape[1])
    return array[rows[:, np.newaxis], columns]
