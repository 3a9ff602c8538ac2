"""The pieces of the seeded watershed of `instance_rule`, for whole images and for windows."""

from __future__ import annotations

import cv2
import numpy as np


def seed_roots(seeds: np.ndarray, smallest: int) -> tuple[np.ndarray, np.ndarray]:
    """The first pixel, as a flat index, of each pixel's region; and the pixels of large regions.

    Args:
        seeds: (H, W) bool.
        smallest: a large region has so many pixels or more.

    Returns:
        (H, W) int64, meaningless where there is no seed, and (H, W) bool.

    Example:
        >>> roots, large = seed_roots(np.array([[True, True, False, True]]), 2)
        >>> roots[large].tolist(), large.tolist()
        ([0, 0], [[True, True, False, False]])
    """
    _, found, statistics, _ = cv2.connectedComponentsWithStats(
        np.asarray(seeds, np.uint8), connectivity=4
    )
    regions = np.asarray(found, np.int64)
    large = np.asarray(statistics)[:, cv2.CC_STAT_AREA] >= smallest
    large[0] = False
    flat = regions.ravel()
    first = np.zeros(len(statistics), np.int64)
    first[flat[::-1]] = np.arange(flat.size - 1, -1, -1)  # what is written last stays
    return first[regions], large[regions]


class PixelGrid:
    """The pixels of a mask as nodes, numbered in scanning order, and their 4 neighbours.

    Args:
        mask: (H, W) bool.

    Attributes:
        pixels: of each node the flat index in the mask.
        places: the same in an image with a border of one pixel of nothing, so that no neighbour is
            missing.
        step: the width of that image.

    Example:
        >>> grid = PixelGrid(np.array([[True, True, False], [False, True, False]]))
        >>> grid.neighbours(1).tolist(), grid.neighbours(grid.step).tolist()
        ([1, -1, -1], [-1, 2, -1])
        >>> grid.at(np.array([1, 4])).tolist()
        [1, 2]
    """

    def __init__(self, mask: np.ndarray) -> None:
        height, self._width = mask.shape
        self.step = self._width + 2
        self.pixels = np.flatnonzero(mask)
        self._nodes = np.full((height + 2) * self.step, -1, np.int32)
        self.places = self._places(self.pixels)
        self._nodes[self.places] = np.arange(len(self.pixels), dtype=np.int32)

    def neighbours(self, offset: int) -> np.ndarray:
        """The node at that distance from each node, -1 where there is none."""
        return self._nodes[self.places + offset]

    def at(self, pixels: np.ndarray) -> np.ndarray:
        """The nodes of pixels of the mask, by flat index."""
        return self._nodes[self._places(pixels)]

    def _places(self, pixels: np.ndarray) -> np.ndarray:
        rows, columns = np.divmod(pixels, self._width)
        return (rows + 1) * self.step + columns + 1


def first_steps(
    grid: PixelGrid, core: np.ndarray, seeds: np.ndarray, roots: np.ndarray
) -> np.ndarray:
    """Where each node goes: to the first pixel of its seed, or as steeply up as it can.

    Up is the highest of a node and its 4 neighbours, of equal ones the first.

    Args:
        grid: the nodes.
        core: (H, W), how high each pixel lies.
        seeds: (H, W) bool.
        roots: (H, W), of a pixel of a seed the seed's first pixel; see `seed_roots`.

    Example:
        >>> core = np.array([[0.1, 0.9, 0.3]], np.float32)
        >>> none = np.zeros((1, 3), bool)
        >>> first_steps(PixelGrid(core > 0), core, none, none).tolist()
        [1, 1, 1]
    """
    heights = core.ravel()[grid.pixels]
    best = np.arange(len(grid.pixels), dtype=np.int32)
    top = heights.copy()
    for offset, is_before in ((-grid.step, True), (-1, True), (1, False), (grid.step, False)):
        neighbours = grid.neighbours(offset)
        values = np.where(neighbours >= 0, heights[neighbours], np.float32(-np.inf))
        # Before the node itself comes what lies above or to the left of it.
        higher = values > top
        if is_before:
            higher |= (values == top) & (neighbours < best)
        best[higher] = neighbours[higher]
        top[higher] = values[higher]
    of_seeds = np.flatnonzero(seeds.ravel()[grid.pixels])
    best[of_seeds] = grid.at(roots.ravel()[grid.pixels[of_seeds]])
    return best


def flattened(parents: np.ndarray) -> np.ndarray:
    """Every node's root, by pointer jumping.

    Example:
        >>> flattened(np.array([0, 0, 1, 2])).tolist()
        [0, 0, 0, 0]
    """
    while True:
        further = parents[parents]
        if np.array_equal(further, parents):
            return parents
        parents = further


def joined_fragments(
    parents: np.ndarray,
    is_final: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    passes: np.ndarray,
) -> np.ndarray:
    """Roots after every fragment that is not final has joined over its highest pass.

    Boruvka's algorithm: in each round every fragment takes its best edge, so that their number at
    least halves.

    Args:
        parents: the root of each node; nodes of one root are a fragment.
        is_final: whether the fragment of a root joins no other one.
        left, right: the nodes at the ends of each edge. Of equal passes the first edge is taken.
        passes: of each edge, the lower of the heights of its ends.

    Example:
        >>> is_final = np.array([True, False, True])
        >>> joined_fragments(
        ...     np.arange(3), is_final, np.array([0, 1]), np.array([1, 2]), np.array([0.2, 0.7])
        ... ).tolist()
        [0, 2, 2]
    """
    while True:
        fragments = parents[left], parents[right]
        open_ends = [~is_final[fragment] for fragment in fragments]
        useful = (fragments[0] != fragments[1]) & (open_ends[0] | open_ends[1])
        if not useful.any():
            return parents
        left, right, passes = left[useful], right[useful], passes[useful]
        starts, goals, order = [], [], []
        for here, there, is_open in zip(fragments, reversed(fragments), open_ends, strict=True):
            kept = is_open[useful]
            starts.append(here[useful][kept])
            goals.append(there[useful][kept])
            order.append(np.flatnonzero(kept))
        start, goal, edge = (np.concatenate(part) for part in (starts, goals, order))
        ranked = np.lexsort((edge, -passes[edge], start))
        start, goal = start[ranked], goal[ranked]
        is_best = np.concatenate([[True], start[1:] != start[:-1]])
        start, goal = start[is_best], goal[is_best]
        chosen = parents.copy()
        chosen[start] = goal
        # Two that have chosen each other: the first stays.
        mutual = start[(chosen[goal] == start) & (start < goal)]
        chosen[mutual] = mutual
        parents = flattened(chosen)[parents]
