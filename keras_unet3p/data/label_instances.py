from __future__ import annotations

import cv2
import numpy as np
from skimage.segmentation import expand_labels


def label_instances(mask: np.ndarray, width: int = 1, *, smallest: int | None = None) -> np.ndarray:
    """Instances of a predicted mask: its connected pieces, with the gaps between them closed.

    The way back from `separate_instances`: background between two instances that are at most
    `2 * width` pixels apart goes to the nearer one; the outlines towards the open background stay.

    Args:
        mask: (H, W), foreground where it is not 0.
        width: the width that the masks in training were drawn with.
        smallest: pieces of fewer pixels are left out; by default `(2 * width + 1) ** 2`, since
            what is smaller is lost in a mask drawn with gaps.

    Returns:
        (H, W) int32: instance ids from 1 on, 0 for background.
    """
    if smallest is None:
        smallest = (2 * width + 1) ** 2
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
    foreground = (instances > 0).astype(np.uint8)
    between = np.zeros(mask.shape, np.uint8)
    for near, across in zip(_lines(2 * width), _lines(width), strict=True):
        # Closing fills a gap whole or not at all, but bays of a single outline as well.
        two = cv2.dilate(values, near) > cv2.erode(others, near)
        closed = np.asarray(cv2.morphologyEx(foreground, cv2.MORPH_CLOSE, across), np.uint8)
        between[two & (closed > 0)] = 1
    # Between outlines at an odd angle the four directions leave holes of a pixel or two.
    whole = np.asarray(cv2.morphologyEx(between, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)))
    gaps = (whole > 0) & (instances == 0)
    return np.where(gaps, expand_labels(instances, 4 * width), instances).astype(np.int32)


def _lines(reach: int) -> list[np.ndarray]:
    """Lines through a pixel in four directions, `reach` pixels to each side.

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
