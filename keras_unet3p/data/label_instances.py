from __future__ import annotations

import cv2
import numpy as np
from skimage.segmentation import expand_labels


def label_instances(mask: np.ndarray, width: int = 1, *, smallest: int = 0) -> np.ndarray:
    """Instances of a predicted mask: its connected pieces, with the gaps between them closed.

    The way back from `separate_instances`: background with two instances within `2 * width` pixels
    on opposite sides goes to the nearer one; the outlines towards the open background stay.

    Args:
        mask: (H, W), foreground where it is not 0.
        width: the width that the masks in training were drawn with.
        smallest: pieces of fewer pixels are left out.

    Returns:
        (H, W) int32: instance ids from 1 on, 0 for background.
    """
    binary = np.asarray(mask > 0, np.uint8)
    _, pieces, statistics, _ = cv2.connectedComponentsWithStats(binary, connectivity=4)
    kept = statistics[:, cv2.CC_STAT_AREA] >= smallest
    kept[0] = False
    ids = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    instances = ids[np.asarray(pieces, np.int64)]
    if width == 0 or instances.max(initial=0) < 2:
        return instances
    values = instances.astype(np.float32)
    others = np.where(instances > 0, values, np.float32(np.inf))
    between = np.zeros(mask.shape, bool)
    for line in _lines(2 * width):
        between |= cv2.dilate(values, line) > cv2.erode(others, line)
    between &= instances == 0
    return np.where(between, expand_labels(instances, 4 * width), instances).astype(np.int32)


def _lines(reach: int) -> list[np.ndarray]:
    """Lines through a pixel in four directions: what lies between two things has one on each side.

    A square would reach around the ends of a gap as well, and so change the outlines there.
    """
    side = 2 * reach + 1
    diagonal = np.eye(side, dtype=np.uint8)
    return [
        np.ones((1, side), np.uint8),
        np.ones((side, 1), np.uint8),
        diagonal,
        np.ascontiguousarray(diagonal[::-1]),
    ]
