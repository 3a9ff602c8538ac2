"""Connected regions of a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage


def parted(instances: np.ndarray) -> np.ndarray:
    """The foreground of instances with a line of background between those that touch.

    A pixel goes to the background where its right or lower neighbour belongs to another instance,
    so that the 4-connected regions of the mask are what is left of the instances; one that is
    thinner than two pixels may vanish.

    Args:
        instances: (H, W) ids, 0 the background.

    Returns:
        (H, W) uint8, 0 and 1.

    Example:
        >>> parted(np.array([[1, 1, 2, 2, 0, 3]])).tolist()
        [[1, 0, 1, 1, 0, 1]]
    """
    mask = (np.asarray(instances) > 0).astype(np.uint8)
    for axis in (0, 1):
        ahead = np.roll(instances, -1, axis)
        differs = (instances != ahead) & (ahead > 0)
        last = [slice(None)] * 2
        last[axis] = slice(-1, None)
        differs[tuple(last)] = False
        mask[differs] = 0
    return mask


def connected_regions(mask: np.ndarray, connectivity: int = 4) -> tuple[np.ndarray, int]:
    """Label image of the regions of a mask, and their number.

    Args:
        mask: (H, W), foreground where it is not 0.
        connectivity: 4 or 8 neighbours.

    Returns:
        (H, W) int32, numbered from 1 in scanning order, and how many there are.

    Example:
        >>> connected_regions(np.eye(3))[1], connected_regions(np.eye(3), connectivity=8)[1]
        (3, 1)
    """
    structure = ndimage.generate_binary_structure(2, 1 if connectivity == 4 else 2)
    result: Any = ndimage.label(mask, structure)
    return result
