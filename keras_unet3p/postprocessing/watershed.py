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


def steepest_ascents(
    nodes: np.ndarray, places: np.ndarray, heights: np.ndarray, step: int
) -> np.ndarray:
    """For each node the highest of itself and its 4 neighbours, of equal ones the first.

    Args:
        nodes: the node of each pixel of an image with a border of one pixel, flat; -1 where there
            is none. They are numbered in scanning order.
        places: where each node lies in `nodes`.
        heights: of each node.
        step: the width of that image.

    Example:
        >>> nodes = np.full((3, 5), -1, np.int32)
        >>> nodes[1, 1:4] = 0, 1, 2
        >>> heights = np.array([0.1, 0.9, 0.3], np.float32)
        >>> steepest_ascents(nodes.ravel(), np.array([6, 7, 8]), heights, 5).tolist()
        [1, 1, 1]
    """
    best = np.arange(len(places), dtype=np.int32)
    top = heights.copy()
    for offset, is_before in ((-step, True), (-1, True), (1, False), (step, False)):
        neighbours = nodes[places + offset]
        values = np.where(neighbours >= 0, heights[neighbours], np.float32(-np.inf))
        # Before the node itself comes what lies above or to the left of it.
        higher = values > top
        if is_before:
            higher |= (values == top) & (neighbours < best)
        best[higher] = neighbours[higher]
        top[higher] = values[higher]
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
