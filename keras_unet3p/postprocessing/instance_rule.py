"""What follows a network that tells touching objects apart: from two maps to instance ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.postprocessing.smoothing import smoothed
from keras_unet3p.postprocessing.watershed import (
    PixelGrid,
    first_steps,
    flattened,
    joined_fragments,
    seed_roots,
)


@dataclasses.dataclass(frozen=True)
class InstanceRule:
    """From the maps foreground F and core C of a network to instance ids.

    F is the probability that a pixel belongs to any object; C is high inside of an object and falls
    to its outline, towards a touching object as well (`targets.instance_maps`).

    0. Both are smoothed `smoothing` times by a binomial filter over 5 pixels, a Gaussian of the
       variance `smoothing`.
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
        smoothing: 0 to 16; 0 for none.

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
    smoothing: int = 0

    def __post_init__(self) -> None:
        for name in ("threshold", "seed_threshold"):
            value = getattr(self, name)
            if not 0.0 < value <= 1.0:
                raise InputError(f"{name} must be above 0 and at most 1, found {value}")
        for name in ("smallest_seed", "smallest_object", "smoothing"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 0:
                raise InputError(f"{name} must be a whole number of at least 0, found {value!r}")
        if self.smoothing > 16:
            raise InputError(f"smoothing must be at most 16, found {self.smoothing}")

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
        foreground, core = two_maps(maps, self.smoothing)
        mask = foreground >= np.float32(self.threshold)
        # From here on a node is a pixel of the mask, numbered in scanning order.
        grid = PixelGrid(mask)
        pixels = grid.pixels
        result = np.zeros(mask.size, np.int32)
        if not len(pixels):
            return result.reshape(mask.shape)
        seeds = mask & (core >= np.float32(self.seed_threshold))
        roots, seeded = seed_roots(seeds, max(self.smallest_seed, 1))
        parents = first_steps(grid, core, seeded, roots)
        is_final = np.zeros(len(pixels), bool)
        is_final[parents[seeded.ravel()[pixels]]] = True
        parents = flattened(parents)
        # On its right and below each node has another one; of equal passes the first edge counts.
        edges = [
            np.stack([found, neighbours[found]])
            for neighbours in (grid.neighbours(1), grid.neighbours(grid.step))
            for found in [np.flatnonzero(neighbours >= 0)]
        ]
        left, right = np.concatenate(edges, axis=1)
        heights = core.ravel()[pixels]
        passes = np.minimum(heights[left], heights[right])
        parents = joined_fragments(parents, is_final, left, right, passes)

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


def two_maps(maps: np.ndarray, smoothing: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Foreground and core of the maps that `InstanceRule.instances` takes, smoothed, float32.

    Where the core is not a number it is 0.

    Example:
        >>> foreground, core = two_maps(np.zeros((4, 5, 2)))
        >>> foreground.shape, core.dtype
        ((4, 5), dtype('float32'))
    """
    maps = np.asarray(maps)
    if maps.ndim == 2:
        maps = maps[..., np.newaxis]
    if maps.ndim != 3 or maps.shape[-1] not in (1, 2):
        raise InputError(
            f"maps must be (H, W), (H, W, 1) or (H, W, 2), found shape {np.shape(maps)}"
        )
    maps = maps.astype(np.float32, copy=False)
    core = maps[..., -1]
    core = smoothed(np.where(np.isnan(core), np.float32(0), core), smoothing)
    if maps.shape[-1] == 1 and smoothing:
        return core, core
    return smoothed(maps[..., 0], smoothing), core
