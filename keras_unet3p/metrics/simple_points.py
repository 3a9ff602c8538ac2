"""Simple points: pixels of a binary image that can be flipped without changing its topology."""

from __future__ import annotations

from functools import cache

import numpy as np

from keras_unet3p.errors import InputError

NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""Offsets (row, column) of the eight neighbours; neighbour i is bit i of a neighbourhood's code."""


@cache
def simple_points(foreground_connectivity: int = 4) -> np.ndarray:
    """Whether the middle of each of the 256 neighbourhoods is simple, (256,) bool.

    Bit i of an index says whether neighbour `NEIGHBOURS[i]` is foreground. A pixel is simple if
    exactly one component of the foreground and one of the background touch it within its
    neighbourhood, connected in their own sense (Bertrand and Malandain 1994: both topological
    numbers are 1). Flipping it, either way, then neither makes, removes, joins nor splits
    a component of foreground or background. The value of the pixel itself does not matter.

    Args:
      foreground_connectivity: 4 (the background is then 8-connected) or 8 (4-connected).
    Raises:
      ValueError: For another connectivity.
    """
    if foreground_connectivity not in (4, 8):
        raise InputError(
            f"foreground_connectivity must be 4 or 8; received {foreground_connectivity!r}."
        )
    table = np.zeros(256, bool)
    for code in range(256):
        foreground = [bool(code >> bit & 1) for bit in range(8)]
        background = [not value for value in foreground]
        table[code] = (
            _touching_components(foreground, foreground_connectivity) == 1
            and _touching_components(background, 12 - foreground_connectivity) == 1
        )
    table.setflags(write=False)
    return table


def _touching_components(members: list[bool], connectivity: int) -> int:
    """Components of the members of a neighbourhood that are adjacent to its middle."""

    def adjacent(a, b):
        rows, columns = abs(a[0] - b[0]), abs(a[1] - b[1])
        return rows + columns == 1 if connectivity == 4 else max(rows, columns) == 1

    left = {offset for offset, member in zip(NEIGHBOURS, members, strict=True) if member}
    count = 0
    while left:
        component, front = set(), [left.pop()]
        while front:
            offset = front.pop()
            component.add(offset)
            reached = {other for other in left if adjacent(offset, other)}
            left -= reached
            front.extend(reached)
        count += any(adjacent(offset, (0, 0)) for offset in component)
    return count
