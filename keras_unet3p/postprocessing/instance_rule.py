"""What follows a network that tells touching objects apart: from two maps to instance ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from keras_unet3p.errors import InputError


@dataclasses.dataclass(frozen=True)
class InstanceRule:
    """From the maps foreground F and core C of a network to instance ids.

    F is the probability that a pixel belongs to any object; C is high inside of an object and falls
    to its outline, towards a touching object as well (`targets.instance_maps`).

    1. The mask is where F >= `threshold`.
    2. Seeds are the 4-connected regions of the mask where C >= `seed_threshold`, of `smallest_seed`
       pixels or more.
    3. The seeds grow over the mask, from high C to low: every other pixel follows the steepest
       ascent of C among its 4 neighbours, and what ends on a maximum that is no seed joins the
       neighbour over the highest pass, again and again. That is a seeded watershed: the minimum
       spanning forest of the 4-neighbour graph (Cousty et al. 2009, "Watershed Cuts"). Of equal
       values the pixel that comes first in the image counts as the higher.
    4. A piece of the mask without a seed is an object by itself.
    5. Objects of fewer than `smallest_object` pixels are dropped, and the others numbered from 1
       in scanning order of their first pixels.

    `in_graph_instances` gives the same ids in a TensorFlow graph.

    Args:
        threshold: above 0, at most 1.
        seed_threshold: above 0, at most 1.
        smallest_seed, smallest_object: pixels; 0 keeps all.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> foreground = np.full((1, 9), 0.9, np.float32)
        >>> core = np.array([[0.2, 0.8, 0.9, 0.5, 0.3, 0.6, 0.9, 0.8, 0.1]], np.float32)
        >>> rule = InstanceRule(seed_threshold=0.7, smallest_seed=1, smallest_object=0)
        >>> rule.instances(np.stack([foreground, core], axis=-1)).tolist()
        [[1, 1, 1, 1, 2, 2, 2, 2, 2]]
    """

    threshold: float = 0.5
    seed_threshold: float = 0.5
    smallest_seed: int = 4
    smallest_object: int = 16

    def __post_init__(self) -> None:
        for name in ("threshold", "seed_threshold"):
            value = getattr(self, name)
            if not 0.0 < value <= 1.0:
                raise InputError(f"{name} must be above 0 and at most 1, found {value}")
        for name in ("smallest_seed", "smallest_object"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 0:
                raise InputError(f"{name} must be a whole number of at least 0, found {value!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> InstanceRule:
        """The rule of a run's record or of a model card; entries that it does not know are no part.

        Example:
            >>> InstanceRule.from_dict({"seed_threshold": 0.7, "measure": "ap"}).seed_threshold
            0.7
        """
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: values[name] for name in names if name in values})

    @staticmethod
    def is_in(values: Mapping[str, Any]) -> bool:
        """Whether these are the entries of such a rule, not of a `MaskRule`."""
        return values.get("seed_threshold") is not None

    def to_dict(self) -> dict[str, Any]:
        """As a dictionary that JSON takes; `from_dict` reads it."""
        return dataclasses.asdict(self)

    def instances(self, maps: np.ndarray) -> np.ndarray:
        """Instance ids of the maps of an image.

        Args:
            maps: (H, W, 2) floats, F and C in [0, 1]; or (H, W) or (H, W, 1), one map that is both,
                such as the probability of the cells' inside between membranes. Where F is not a
                number is background.

        Returns:
            (H, W) int32, 0 the background.

        Raises:
            ValueError: for another shape.
        """
        foreground, core = _two_maps(maps)
        height, width = foreground.shape
        mask = foreground >= np.float32(self.threshold)
        pixels = np.flatnonzero(mask)
        result = np.zeros(mask.size, np.int32)
        if not len(pixels):
            return result.reshape(mask.shape)
        core = np.where(np.isnan(core), np.float32(0), core)
        seeds = mask & (core >= np.float32(self.seed_threshold))
        roots, seeded = _seed_roots(seeds, max(self.smallest_seed, 1))

        # From here on a node is a pixel of the mask, numbered in scanning order.
        # Around the image lies a pixel of nothing, so that no neighbour is missing.
        nodes = np.full((height + 2, width + 2), -1, np.int32)
        inner = nodes[1:-1, 1:-1]
        inner[mask] = np.arange(len(pixels), dtype=np.int32)
        rows, columns = np.divmod(pixels, width)
        places = (rows + 1) * (width + 2) + columns + 1
        flat = nodes.ravel()
        heights = core.ravel()[pixels]
        is_seed = seeded.ravel()[pixels]
        parents = _ascents(flat, places, heights, width + 2)
        seed_nodes = np.flatnonzero(is_seed)
        first = inner.ravel()[roots.ravel()[pixels[seed_nodes]]]
        parents[seed_nodes] = first
        parents = _flattened(parents)
        is_final = np.zeros(len(pixels), bool)
        is_final[first] = True
        parents = _joined(parents, is_final, flat, places, heights, width + 2)

        sizes = np.bincount(parents, minlength=len(pixels))
        kept = sizes[parents] >= self.smallest_object
        # The first node of an object, in scanning order, gives it its place.
        opening = np.zeros(len(pixels), np.int64)
        opening[parents[::-1]] = np.arange(len(pixels) - 1, -1, -1)
        starts = np.zeros(len(pixels), np.int32)
        starts[opening[parents[kept]]] = 1
        numbers = np.cumsum(starts, dtype=np.int32)
        result[pixels] = np.where(kept, numbers[opening[parents]], 0)
        return result.reshape(mask.shape)


def _two_maps(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    maps = np.asarray(maps)
    if maps.ndim == 2:
        maps = maps[..., np.newaxis]
    if maps.ndim != 3 or maps.shape[-1] not in (1, 2):
        raise InputError(
            f"maps must be (H, W), (H, W, 1) or (H, W, 2), found shape {np.shape(maps)}"
        )
    maps = maps.astype(np.float32, copy=False)
    return maps[..., 0], maps[..., -1]


def _seed_roots(seeds: np.ndarray, smallest: int) -> tuple[np.ndarray, np.ndarray]:
    """The first pixel, as a flat index, of each pixel's region; and the pixels of large regions."""
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


def _ascents(nodes: np.ndarray, places: np.ndarray, heights: np.ndarray, step: int) -> np.ndarray:
    """For each node the highest of itself and its 4 neighbours, of equal ones the first."""
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


def _flattened(parents: np.ndarray) -> np.ndarray:
    """Every node's root, by pointer jumping."""
    while True:
        further = parents[parents]
        if np.array_equal(further, parents):
            return parents
        parents = further


def _joined(
    parents: np.ndarray,
    is_final: np.ndarray,
    nodes: np.ndarray,
    places: np.ndarray,
    heights: np.ndarray,
    step: int,
) -> np.ndarray:
    """Roots after every fragment that is not final has joined over its highest pass.

    Boruvka's algorithm: in each round every fragment takes its best edge, so that their number at
    least halves.
    """
    ends = [
        np.stack([found, nodes[places[found] + offset]])
        for offset in (1, step)
        for found in [np.flatnonzero(nodes[places + offset] >= 0)]
    ]
    left, right = np.concatenate(ends, axis=1)
    while True:
        fragments = parents[left], parents[right]
        open_ends = [~is_final[fragment] for fragment in fragments]
        useful = (fragments[0] != fragments[1]) & (open_ends[0] | open_ends[1])
        if not useful.any():
            return parents
        left, right = left[useful], right[useful]
        # The lower of both ends; of equal passes the edge that comes first.
        passes = np.minimum(heights[left], heights[right])
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
        parents = _flattened(chosen)[parents]
