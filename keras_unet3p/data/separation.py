from __future__ import annotations

import cv2
import numpy as np

from keras_unet3p.errors import InputError


def separate_instances(labels: np.ndarray, width: int = 1) -> np.ndarray:
    """The foreground of instance labels with touching instances drawn apart.

    A network that predicts foreground can tell touching cells apart only if its target has
    background between them, as in section 3 of the U-Net paper. A pixel goes to the background when
    another instance lies within `width` pixels of it (in the maximum norm), so the gap between two
    that touch is `2 * width` pixels wide.

    Args:
        labels: (H, W) instance ids, 0 for background.
        width: pixels taken from each side; 0 takes none.

    Returns:
        (H, W) bool.

    Raises:
        ValueError: `width` is negative, or an id exceeds 2^24.

    Example:
        >>> separate_instances(np.array([[1, 1, 1, 2, 2, 2]])).astype(int).tolist()
        [[1, 1, 0, 0, 1, 1]]
    """
    if width < 0:
        raise InputError(f"width is {width}; expected at least 0")
    foreground = labels > 0
    if width == 0:
        return foreground
    if labels.max(initial=0) > 1 << 24:
        raise InputError(f"labels holds the id {labels.max()}; expected ids of at most 2^24")
    # Float32 holds these ids exactly and is what OpenCV's filters take at this range.
    ids = labels.astype(np.float32)
    window = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    largest = cv2.dilate(ids, window)
    smallest = cv2.erode(np.where(foreground, ids, np.float32(np.inf)), window)
    return foreground & (largest == smallest)
