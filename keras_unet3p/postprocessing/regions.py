"""Connected regions of a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage


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
