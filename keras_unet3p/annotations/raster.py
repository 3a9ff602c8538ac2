"""Polygons and run lengths to pixels.

A pixel belongs to a polygon if its middle does; the upper left corner of an image is (0, 0), the
middle of its first pixel (0.5, 0.5). Pixels are places in the flattened image, int64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_unet3p.errors import InputError

_CORNERS = 720  # of an ellipse: r (1 - cos(pi / 720)) = r / 105,000
FARTHEST = 2**20
"""Coordinates farther out, in pixels, are taken for a mistake."""


def polygon_pixels(rings: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """The pixels of a polygon with holes, by the even-odd rule.

    Polygons that share an edge share no pixel: of middles on an edge those to its right and below
    it are inside.

    Args:
        rings: (N, 2) x and y in pixels each, closed or not, the outer ring and the holes.
        height, width: of the image; what lies outside is cut off.

    Example:
        >>> polygon_pixels([np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])], 4, 4).tolist()
        [0, 1, 2, 4, 5, 8]
    """
    points = np.concatenate(rings)
    low = np.clip(np.floor(points.min(0)), 0, (width, height)).astype(np.int64)
    high = np.clip(np.ceil(points.max(0)), 0, (width, height)).astype(np.int64)
    columns, rows = high - low
    if columns <= 0 or rows <= 0:
        return np.zeros(0, np.int64)
    turns = np.zeros((rows, columns + 1), np.uint8)
    for ring in rings:
        _mark_crossings(turns, np.asarray(ring, np.float64) - low - 0.5)
    inside = np.bitwise_xor.accumulate(turns[:, :-1], axis=1)
    found_rows, found_columns = np.nonzero(inside)
    return (found_rows + low[1]) * width + found_columns + low[0]


def _mark_crossings(turns: np.ndarray, ring: np.ndarray) -> None:
    """Change bits of (rows, columns + 1): the first of each row to the right of an edge."""
    begin, end = ring, np.roll(ring, -1, axis=0)
    upper = np.where((begin[:, 1] <= end[:, 1])[:, None], begin, end)
    lower = np.where((begin[:, 1] <= end[:, 1])[:, None], end, begin)
    first, last = (
        np.clip(np.ceil(edge[:, 1]), 0, len(turns)).astype(int) for edge in (upper, lower)
    )
    edges = np.repeat(np.arange(len(ring)), last - first)
    rows = np.arange(len(edges)) - np.repeat(np.cumsum(last - first) - last, last - first)
    upper, lower = upper[edges], lower[edges]
    slopes = (lower[:, 0] - upper[:, 0]) / (lower[:, 1] - upper[:, 1])
    crossings = upper[:, 0] + (rows - upper[:, 1]) * slopes
    columns = np.clip(np.ceil(crossings), 0, turns.shape[1] - 1).astype(int)
    np.bitwise_xor.at(turns, (rows, columns), 1)


def run_pixels(lengths: np.ndarray, by_columns: bool, height: int, width: int) -> np.ndarray:
    """The pixels of run lengths, in their order: of a run outside, of one inside, and so on.

    Args:
        lengths: (N,) int64 that add up to the number of pixels.
        by_columns: whether they run down the columns, as COCO's, or along the rows.
        height, width: of the image.

    Example:
        >>> run_pixels(np.array([1, 2, 3]), True, 2, 3).tolist()
        [3, 1]
    """
    ends = np.cumsum(lengths)
    starts, sizes = (ends - lengths)[1::2], lengths[1::2]
    before = np.cumsum(sizes) - sizes
    places = np.arange(sizes.sum()) + np.repeat(starts - before, sizes)
    if by_columns:
        columns, rows = np.divmod(places, height)
        places = rows * width + columns
    return places


def run_lengths(places: np.ndarray, size: int) -> np.ndarray:
    """The inverse of `run_pixels`, for places that rise and an image of `size` pixels.

    Example:
        >>> run_lengths(np.array([1, 2, 5]), 6).tolist()
        [1, 2, 2, 1]
    """
    breaks = np.flatnonzero(np.diff(places) != 1)
    starts = places[np.concatenate([[0], breaks + 1])]
    ends = places[np.concatenate([breaks, [len(places) - 1]])] + 1
    changes = np.stack([starts, ends], axis=1).ravel()
    lengths = np.diff(changes, prepend=0, append=size)
    return lengths if lengths[-1] else lengths[:-1]


def window_pixels(inside: np.ndarray, left: int, top: int, height: int, width: int) -> np.ndarray:
    """The pixels of a mask (h, w) whose upper left corner is at (left, top) of the image.

    Example:
        >>> window_pixels(np.ones((2, 2), bool), 2, -1, 3, 4).tolist()
        [2, 3]
    """
    rows, columns = np.nonzero(inside)
    rows, columns = rows + top, columns + left
    kept = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return (rows * width + columns)[kept].astype(np.int64)


def checked_ring(points: object) -> np.ndarray:
    """Points of a file as (N, 2) float64.

    Raises:
        ValueError: they are no three pairs of finite numbers, or lie far outside of any image.

    Example:
        >>> checked_ring([[0, 0], [1, 0], [1, 1]]).shape
        (3, 2)
    """
    try:
        ring = np.array(points, np.float64)
    except (TypeError, ValueError):
        raise InputError("a ring of other things than pairs of numbers") from None
    if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 3:
        raise InputError(f"a ring of shape {ring.shape}; expected at least 3 pairs of x and y")
    if not np.isfinite(ring).all() or np.abs(ring).max() > FARTHEST:
        raise InputError(f"a ring with the coordinate {_worst(ring):g}; expected pixels")
    return ring


def _worst(ring: np.ndarray) -> float:
    odd = ring[~np.isfinite(ring)]
    return float(odd[0] if odd.size else ring.flat[np.abs(ring).argmax()])


def rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """The ring of a rectangle.

    Example:
        >>> rectangle(0, 0, 2, 1).tolist()
        [[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0]]
    """
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def ellipse(x: float, y: float, radius_x: float, radius_y: float) -> np.ndarray:
    """The ring of an ellipse, less than a hundredth of a pixel off up to a radius of 1,000 pixels.

    Example:
        >>> len(polygon_pixels([ellipse(2, 2, 2, 2)], 4, 4))
        12
    """
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    return np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1)
