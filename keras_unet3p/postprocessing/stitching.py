"""Instance ids of maps that are larger than memory: window by window, the same as of the whole."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from keras_unet3p.errors import InputError
from keras_unet3p.postprocessing.instance_rule import InstanceRule, two_maps
from keras_unet3p.postprocessing.smoothing import REACH
from keras_unet3p.postprocessing.watershed import (
    PixelGrid,
    first_steps,
    flattened,
    joined_fragments,
    seed_roots,
)

_ABOVE, _LEFT, _RIGHT, _BELOW = "above", "left", "right", "below"


def instances_by_windows(
    maps: Any,
    output: Any,
    rule: InstanceRule,
    *,
    window: int = 2048,
    progress: Callable[[int, int], object] | None = None,
) -> int:
    """Write the ids that `rule.instances(maps)` would give, without ever holding the whole image.

    A watershed by steepest ascent can be cut anywhere: a pixel's way up needs its four neighbours
    only, and fragments of one window join those of the next along the line where they meet. What
    is kept of the whole image are a few numbers for each fragment, some hundred bytes an object.

    Args:
        maps: (H, W, 2) or (H, W), as `InstanceRule.instances` takes them; anything that can be
            sliced, such as a memory map.
        output: (H, W) integers of 32 bits or more; anything that windows can be assigned to and
            read from again. It is written twice, first with numbers of fragments.
        rule: what decides.
        window: side of the windows, pixels; about 100 bytes of memory for each pixel of one.
        progress: called with the number of finished windows and of all, each of which counts twice.

    Returns:
        The number of instances.

    Raises:
        ValueError: the output has another shape, or a type that is too small.

    Example:
        >>> maps = np.random.default_rng(0).random((50, 70, 2), np.float32)
        >>> rule, ids = InstanceRule(), np.zeros((50, 70), np.int32)
        >>> number = instances_by_windows(maps, ids, rule, window=16)
        >>> number == ids.max() and np.array_equal(ids, rule.instances(maps))
        True
    """
    height, width = maps.shape[:2]
    if tuple(output.shape) != (height, width):
        raise InputError(f"output must have shape {(height, width)}, found {tuple(output.shape)}")
    dtype = np.dtype(output.dtype)
    if dtype.kind not in "ui" or dtype.itemsize < 4:
        raise InputError(f"output must hold integers of 32 bits, found {dtype}")
    if window < 1:
        raise InputError(f"window must be at least 1 pixel, found {window}")
    places = [
        (slice(top, min(top + window, height)), slice(left, min(left + window, width)))
        for top, left in itertools.product(range(0, height, window), range(0, width, window))
    ]
    report = progress or (lambda done, total: None)
    fragments = _Fragments(height * width)
    above: dict[int, _Side] = {}
    to_the_left: dict[int, _Side] = {}
    for done, (rows, columns) in enumerate(places, start=1):
        part = _part(maps, rows, columns, rule, fragments.count)
        fragments.add(part)
        if rows.start:
            fragments.meet(above[columns.start], part.sides[_ABOVE], is_below=True)
        if columns.start:
            fragments.meet(to_the_left[rows.start], part.sides[_LEFT], is_below=False)
        above[columns.start] = part.sides[_BELOW]
        to_the_left[rows.start] = part.sides[_RIGHT]
        output[rows, columns] = part.labels
        report(done, 2 * len(places))
    numbers = fragments.numbers(rule.smallest_object)
    for done, (rows, columns) in enumerate(places, start=len(places) + 1):
        output[rows, columns] = numbers[np.asarray(output[rows, columns])]
        report(done, 2 * len(places))
    return int(numbers.max(initial=0))


class _Side(NamedTuple):
    """The pixels along one side of a window."""

    labels: np.ndarray
    heights: np.ndarray
    is_seed: np.ndarray
    leaves: np.ndarray
    """Whether the pixel's way up goes over this side, to the pixel beyond."""
    places: np.ndarray
    """Flat indices in the image."""


class _Edges(NamedTuple):
    """Between neighbouring pixels of different fragments; the lower `order` counts first."""

    left: np.ndarray
    right: np.ndarray
    passes: np.ndarray
    order: np.ndarray

    def best(self) -> _Edges:
        """Of each pair of fragments the highest pass, of equal ones the first."""
        low, high = np.minimum(self.left, self.right), np.maximum(self.left, self.right)
        ranked = np.lexsort((self.order, -self.passes, high, low))
        low, high = low[ranked], high[ranked]
        is_best = np.ones(len(low), bool)
        is_best[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
        return _Edges(*(values[ranked[is_best]] for values in self))

    def between(self, groups: np.ndarray, is_final: np.ndarray) -> _Edges:
        """The best ones between the groups that the fragments have become, not of two final ones.

        Args:
            groups: of each fragment.
            is_final: whether a fragment's group joins no other one.
        """
        left, right = groups[self.left], groups[self.right]
        apart = (left != right) & ~(is_final[self.left] & is_final[self.right])
        return _Edges(left[apart], right[apart], self.passes[apart], self.order[apart]).best()

    def join(self, parents: np.ndarray, is_final: np.ndarray) -> np.ndarray:
        """`joined_fragments` along these edges."""
        left, right, passes, _ = (values[np.argsort(self.order)] for values in self)
        return joined_fragments(parents, is_final, left, right, passes)


class _Part(NamedTuple):
    """What a window knows of its fragments, which are numbered on from those before."""

    labels: np.ndarray
    sizes: np.ndarray
    is_seed: np.ndarray
    first: np.ndarray
    """Flat indices in the image of the fragments' first pixels."""
    edges: _Edges
    sides: dict[str, _Side]


def _part(maps: Any, rows: slice, columns: slice, rule: InstanceRule, count: int) -> _Part:
    height, width = maps.shape[:2]
    smallest = max(rule.smallest_seed, 1)
    # So far around the window, a region of seeds that reaches into it shows whether it is large:
    # the pixels of a path that leads further are enough.
    around, inside = _around(rows, columns, smallest)
    foreground, core = _smoothed_maps(maps, *around, rule.smoothing)
    mask = foreground >= np.float32(rule.threshold)
    _, seeded = seed_roots(mask & (core >= np.float32(rule.seed_threshold)), smallest)
    is_inside = np.zeros(mask.shape, bool)
    is_inside[inside] = True

    labels, first, way = _ways_up(mask, core, seeded, is_inside)
    is_seed = np.zeros(len(first) + 1, bool)
    is_seed[labels[seeded]] = True
    is_seed[0] = False
    labels, core, seeded, way = (values[inside] for values in (labels, core, seeded, way))
    flat = np.arange(rows.start, rows.stop)[:, np.newaxis] * width
    flat = flat + np.arange(columns.start, columns.stop)
    edges = (
        _edges(labels[:, :-1], labels[:, 1:], core[:, :-1], core[:, 1:], flat[:, :-1]),
        _edges(labels[:-1], labels[1:], core[:-1], core[1:], flat[:-1] + height * width),
    )
    edges = _Edges(*map(np.concatenate, zip(*edges, strict=True))).best()
    # A fragment that does not reach a side of the window has all its passes here.
    is_open = is_seed.copy()
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        is_open[side] = True
    joined = edges.join(np.arange(len(is_seed)), is_open)
    places = flat[labels > 0][first]
    sizes = np.bincount(labels.ravel(), minlength=len(is_seed))[1:]
    kept, groups = np.unique(joined[1:], return_inverse=True)
    numbers = np.concatenate([[0], groups + (count + 1)])
    edges = edges.between(numbers, is_seed[joined])
    labels = numbers[labels]
    lines = {
        _ABOVE: ((0, slice(None)), -(mask.shape[1] + 2)),
        _LEFT: ((slice(None), 0), -1),
        _RIGHT: ((slice(None), -1), 1),
        _BELOW: ((-1, slice(None)), mask.shape[1] + 2),
    }
    return _Part(
        labels=labels,
        sizes=np.bincount(groups, weights=sizes, minlength=len(kept)).astype(np.int64),
        is_seed=is_seed[kept],
        first=_lowest(groups, places, len(kept)),
        edges=edges,
        # Copies: a view would keep the whole window.
        sides={
            name: _Side(
                labels=labels[line].copy(),
                heights=core[line].copy(),
                is_seed=seeded[line].copy(),
                leaves=way[line] == leaving,
                places=flat[line].copy(),
            )
            for name, (line, leaving) in lines.items()
        },
    )


def _around(rows: slice, columns: slice, reach: int) -> tuple[tuple[slice, slice], ...]:
    """A window with so many pixels around it, as far as the image goes; and its place therein."""
    top, left = max(rows.start - reach, 0), max(columns.start - reach, 0)
    around = (slice(top, rows.stop + reach), slice(left, columns.stop + reach))
    inside = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    return around, inside


def _smoothed_maps(
    maps: Any, rows: slice, columns: slice, smoothing: int
) -> tuple[np.ndarray, np.ndarray]:
    """`two_maps` of a window, smoothed as those of the whole image are."""
    rows, columns = (
        slice(part.start, min(part.stop, length))
        for part, length in zip((rows, columns), maps.shape[:2], strict=True)
    )
    around, inside = _around(rows, columns, REACH * smoothing)
    foreground, core = two_maps(np.asarray(maps[around]), smoothing)
    return foreground[inside], core[inside]


def _ways_up(
    mask: np.ndarray, core: np.ndarray, seeded: np.ndarray, is_inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the pixels of a window end that climb as steeply as they can, or belong to a seed.

    Args:
        mask: (H, W) bool, the window with what lies around it.
        core: what they climb.
        seeded: the pixels of seeds, which stay in their seed.
        is_inside: the window. Around it, a way ends.

    Returns:
        The fragments, (H, W) from 1 on: pixels inside that end at the same place. The first pixel
        of each, as a number among the mask's pixels inside. And each pixel's first step, as a
        distance in an image two pixels wider.
    """
    grid = PixelGrid(mask)
    # The parts of a region of seeds that is joined around the window meet at its sides.
    seeds = seeded & is_inside
    first_seeds, _ = seed_roots(seeds, 1)
    parents = first_steps(grid, core, seeds, first_seeds)
    of_window = is_inside.ravel()[grid.pixels]
    parents[~of_window] = np.flatnonzero(~of_window)
    way = np.zeros(mask.shape, np.int64)
    way[mask] = grid.places[parents] - grid.places
    way[seeded] = 0
    roots = flattened(parents)[of_window]
    _, first, own = np.unique(roots, return_index=True, return_inverse=True)
    labels = np.zeros(mask.shape, np.int64)
    labels[mask & is_inside] = own + 1
    return labels, first, way


def _lowest(groups: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """The lowest value of each group; the highest integer where a group has none."""
    lowest = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(lowest, groups, values)
    return lowest


def _edges(left, right, left_heights, right_heights, order) -> _Edges:
    apart = (left > 0) & (right > 0) & (left != right)
    passes = np.minimum(left_heights[apart], right_heights[apart])
    return _Edges(left[apart], right[apart], passes, order[apart])


class _Fragments:
    """The fragments of all windows so far, from 1 on, and what joins them."""

    def __init__(self, pixels: int) -> None:
        self.count = 0
        self._pixels = pixels
        # With nothing at number 0, the background.
        self._sizes, self._first = [np.zeros(1, np.int64)], [np.full(1, pixels)]
        self._is_seed = [np.zeros(1, bool)]
        self._one: list[np.ndarray] = []
        self._edges: list[_Edges] = []

    def add(self, part: _Part) -> None:
        """The fragments of the next window."""
        self.count += len(part.sizes)
        self._sizes.append(part.sizes)
        self._first.append(part.first)
        self._is_seed.append(part.is_seed)
        self._edges.append(part.edges)

    def meet(self, before: _Side, after: _Side, *, is_below: bool) -> None:
        """Two windows' sides that lie against each other, the left or upper one first."""
        present = (before.labels > 0) & (after.labels > 0)
        same = present & (before.leaves | after.leaves | (before.is_seed & after.is_seed))
        self._one.append(np.stack([before.labels[same], after.labels[same]]))
        # As in a whole image: those to the right come first, and then those below.
        order = before.places + (self._pixels if is_below else 0)
        edges = _edges(before.labels, after.labels, before.heights, after.heights, order)
        self._edges.append(edges.best())

    def numbers(self, smallest_object: int) -> np.ndarray:
        """The instance of each fragment, in scanning order of the instances' first pixels."""
        size = self.count + 1
        left, right = np.concatenate([np.empty((2, 0), np.int64), *self._one], axis=1)
        graph = coo_array((np.ones(len(left), bool), (left, right)), shape=(size, size))
        number, owners = connected_components(graph, directed=False)
        is_final = np.zeros(number, bool)
        is_final[owners[np.concatenate(self._is_seed)]] = True
        edges = _Edges(*(np.concatenate(values) for values in zip(*self._edges, strict=True)))
        edges = edges.between(owners, is_final[owners])
        roots = edges.join(np.arange(number), is_final)[owners]
        areas = np.bincount(roots, weights=np.concatenate(self._sizes), minlength=number)
        starts = _lowest(roots, np.concatenate(self._first), number)
        kept = np.flatnonzero(areas >= max(smallest_object, 1))
        numbers = np.zeros(number, np.int64)
        numbers[kept[np.argsort(starts[kept])]] = np.arange(1, len(kept) + 1)
        return numbers[roots]
