"""Errors of topology: simple points, and the warping error that is made of them."""

from __future__ import annotations

import heapq
from functools import cache
from typing import NamedTuple

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.postprocessing.class_ids import is_foreground

NEIGHBORS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""Offsets (row, column) of the eight neighbours; neighbour i is bit i of a neighbourhood's code."""


@cache
def simple_points(foreground_connectivity: int = 4) -> np.ndarray:
    """Whether the middle of each of the 256 neighbourhoods is simple, (256,) bool.

    Bit i of an index says whether neighbour `NEIGHBORS[i]` is foreground. A pixel is simple if
    exactly one component of the foreground and one of the background touch it within its
    neighbourhood, connected in their own sense (Bertrand and Malandain 1994: both topological
    numbers are 1). Flipping it, either way, then neither makes, removes, joins nor splits
    a component of foreground or background. The value of the pixel itself does not matter.

    Args:
        foreground_connectivity: 4 (the background is then 8-connected) or 8 (4-connected).

    Raises:
        ValueError: For another connectivity.

    Example:
        >>> table = simple_points()  # alone, and with one pixel above (neighbour 1)
        >>> bool(table[0]), bool(table[1 << 1])
        (False, True)
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

    left = {offset for offset, member in zip(NEIGHBORS, members, strict=True) if member}
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


class WarpingError(NamedTuple):
    """Share of pixels that still differ, and the warped truth (H, W) bool.

    Example:
        >>> ku.metrics.WarpingError(error=0.25, warped=np.zeros((2, 2), bool)).error
        0.25
    """

    error: float
    warped: np.ndarray


def warping_error(
    truth, prediction, *, threshold: float = 0.5, foreground_connectivity: int = 4
) -> WarpingError:
    """Topological errors of a segmentation (Jain et al. 2010), as in the ISBI-2012 challenge.

    The truth is warped onto the prediction: pixels where they differ are flipped as long as they
    are simple points, so that its topology stays. What differs in the end counts, per pixel of the
    image: merged and split objects, and objects and holes that only one of the two has. A boundary
    that is only displaced costs nothing.

    Conventions are those of the challenge's implementation in Fiji: foreground (cells) is
    4-connected and background (membranes) 8-connected, the image lies on background, and the
    pixels to flip are visited in passes until nothing changes, those first in which the prediction
    is surest, then column by column. Where the topologies differ, which pixels remain depends on
    that order; that some do, does not.

    Args:
        truth: (H, W) binary mask, foreground where it is above 0.
        prediction: (H, W) binary mask, or probabilities of the foreground.
        threshold: The prediction is foreground from it on.
        foreground_connectivity: 4 or 8; the background has the other one.

    Raises:
        ValueError: For shapes that are not (H, W) or differ, NaN, or an unknown connectivity.

    Example:
        >>> truth = np.ones((5, 9), bool)
        >>> truth[:, 4] = False  # two objects
        >>> joined = truth.copy()
        >>> joined[2, 4] = True
        >>> round(ku.metrics.warping_error(truth, joined).error * truth.size)
        1
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.ndim != 2 or truth.shape != prediction.shape:
        raise InputError(
            "truth and prediction must be (height, width) of one size; "
            f"received {truth.shape} and {prediction.shape}."
        )
    if np.isnan(truth).any() or np.isnan(prediction).any():
        raise InputError("truth and prediction must hold numbers; received NaN.")
    simple = simple_points(foreground_connectivity).tobytes()
    sureness = np.abs(prediction.astype(np.float64) - threshold)
    target = np.pad(is_foreground(prediction, threshold), 1)
    source = np.pad(truth > 0, 1)
    width = source.shape[1]
    steps = [row * width + column for row, column in NEIGHBORS]

    columns, rows = np.nonzero((source != target)[1:-1, 1:-1].T)
    order = np.argsort(-sureness[rows, columns], kind="stable")
    places = ((rows[order] + 1) * width + columns[order] + 1).tolist()
    ranks = {place: rank for rank, place in enumerate(places)}
    values = bytearray(source.astype(np.uint8).tobytes())
    frozen = bytearray(len(values))  # 1 where a pixel has been given its final value.

    # A pixel's verdict can change only when a neighbour is flipped; so each pass visits, in order,
    # those beside flipped ones instead of all.
    current = list(range(len(places)))
    while current:
        following = set()
        queued = set(current)
        while current:
            rank = heapq.heappop(current)
            queued.discard(rank)
            place = places[rank]
            if frozen[place]:
                continue
            code = 0
            for bit, step in enumerate(steps):
                code |= values[place + step] << bit
            if not simple[code]:
                continue
            values[place] ^= 1
            frozen[place] = 1
            for step in steps:
                other = ranks.get(place + step)
                if other is None or frozen[place + step]:
                    continue
                if other < rank:
                    following.add(other)
                elif other not in queued:
                    heapq.heappush(current, other)
                    queued.add(other)
        current = sorted(following)

    warped = np.frombuffer(bytes(values), np.uint8).reshape(source.shape)[1:-1, 1:-1] > 0
    return WarpingError(float(np.mean(warped != target[1:-1, 1:-1])), warped)
