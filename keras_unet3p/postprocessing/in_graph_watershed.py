"""From two maps to instance ids in a TensorFlow graph; `instance_rule` does the same in NumPy.

Only operations of TensorFlow itself, so that a model server runs it.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_unet3p.postprocessing.instance_rule import InstanceRule
from keras_unet3p.postprocessing.smoothing import LEVELS, REACH, WEIGHTS


def in_graph_instances(maps: Any, rule: InstanceRule) -> tf.Tensor:
    """`InstanceRule.instances` for tensors: the same ids.

    Args:
        maps: (H, W, 2) or (H, W, 1), float32, of any size.
        rule: what decides.

    Returns:
        (H, W) int32, 0 the background, the objects numbered from 1.

    Example:
        >>> maps = tf.constant([[[0.9, 0.8], [0.9, 0.3], [0.9, 0.4], [0.9, 0.9]]])
        >>> rule = InstanceRule(seed_threshold=0.7, smallest_seed=1, smallest_object=0)
        >>> in_graph_instances(maps, rule).numpy().tolist()
        [[1, 1, 2, 2]]
    """
    maps = tf.cast(maps, tf.float32)
    foreground, core = maps[..., 0], maps[..., -1]
    shape = tf.shape(foreground)
    if rule.smoothing:
        foreground = smoothed_in_graph(foreground, rule.smoothing)
        core = smoothed_in_graph(core, rule.smoothing) if maps.shape[-1] != 1 else foreground
    mask = foreground >= rule.threshold
    core = tf.where(tf.math.is_nan(core), 0.0, core)

    grid = _Grid(mask)
    heights = tf.boolean_mask(core, mask)
    seeds = heights >= rule.seed_threshold
    seeds, roots = _seed_roots(grid, seeds, max(rule.smallest_seed, 1))
    parents = _flattened(tf.where(seeds, roots, _ascents(grid, heights)))
    is_final = seeds & tf.equal(roots, grid.numbers)
    parents = _joined(parents, is_final, grid, heights)

    sizes = tf.math.unsorted_segment_sum(tf.ones_like(parents), parents, grid.count)
    kept = tf.gather(sizes, parents) >= rule.smallest_object
    # The first node of an object, in scanning order, gives it its place.
    opening = tf.gather(tf.math.unsorted_segment_min(grid.numbers, parents, grid.count), parents)
    starts = tf.cast(kept & tf.equal(opening, grid.numbers), tf.int32)
    numbers = tf.where(kept, tf.gather(tf.cumsum(starts), opening), 0)
    return tf.scatter_nd(grid.pixels, numbers, shape)


def smoothed_in_graph(values: tf.Tensor, passes: int) -> tf.Tensor:
    """`smoothing.smoothed` for a tensor (H, W): the same bits."""
    values = tf.clip_by_value(tf.where(tf.math.is_nan(values), 0.0, values), 0.0, 1.0)
    levels = tf.cast(tf.round(values * float(LEVELS)), tf.int32)
    for number in range(passes):
        if number:
            levels = tf.bitwise.right_shift(levels + 128, 8)
        for axis in (0, 1):
            length = tf.shape(levels)[axis]
            taps = [
                tf.gather(
                    levels, tf.clip_by_value(tf.range(length) + step, 0, length - 1), axis=axis
                )
                for step in range(-REACH, REACH + 1)
            ]
            levels = tf.add_n([weight * tap for weight, tap in zip(WEIGHTS, taps, strict=True)])
    return tf.cast(levels, tf.float32) / float(LEVELS * 256)


class _Grid:
    """The pixels of a mask as nodes, numbered in scanning order, and their 4 neighbours."""

    def __init__(self, mask: tf.Tensor) -> None:
        shape = tf.shape(mask)
        self.step = shape[1] + 2
        self.pixels = tf.cast(tf.where(mask), tf.int32)
        self.count = tf.shape(self.pixels)[0]
        self.numbers = tf.range(self.count)
        self.places = (self.pixels[:, 0] + 1) * self.step + self.pixels[:, 1] + 1
        # Around the image lies a pixel of nothing, so that no neighbour is missing.
        nodes = tf.scatter_nd(self.pixels + 1, self.numbers + 1, shape + 2)
        self._nodes = tf.reshape(nodes, [-1]) - 1

    def neighbours(self, offset: Any) -> tf.Tensor:
        """The node at that distance from each node, -1 where there is none."""
        return tf.gather(self._nodes, self.places + offset)

    def edges(self) -> tuple[tf.Tensor, tf.Tensor]:
        """All pairs of a node and that on its right, then of a node and that below."""
        ends = []
        for offset in (1, self.step):
            neighbours = self.neighbours(offset)
            present = neighbours >= 0
            ends.append(
                (tf.boolean_mask(self.numbers, present), tf.boolean_mask(neighbours, present))
            )
        (left, right), (above, below) = ends
        return tf.concat([left, above], 0), tf.concat([right, below], 0)


def _ascents(grid: _Grid, heights: tf.Tensor) -> tf.Tensor:
    """For each node the highest of itself and its 4 neighbours, of equal ones the first."""
    best, top = grid.numbers, heights
    for offset, is_before in ((-grid.step, True), (-1, True), (1, False), (grid.step, False)):
        neighbours = grid.neighbours(offset)
        values = tf.gather(heights, tf.maximum(neighbours, 0))
        values = tf.where(neighbours >= 0, values, -float("inf"))
        higher = values > top
        if is_before:
            higher |= tf.equal(values, top) & (neighbours < best)
        best = tf.where(higher, neighbours, best)
        top = tf.where(higher, values, top)
    return best


def _flattened(parents: tf.Tensor) -> tf.Tensor:
    """Every node's root, by pointer jumping."""

    def jump(parents: tf.Tensor, _: tf.Tensor):
        further = tf.gather(parents, parents)
        return further, tf.reduce_any(tf.not_equal(further, parents))

    return tf.while_loop(
        lambda _, changed: changed,
        jump,
        (parents, tf.constant(True)),
        shape_invariants=(tf.TensorShape([None]), tf.TensorShape([])),
        parallel_iterations=1,
    )[0]


def _seed_roots(grid: _Grid, seeds: tf.Tensor, smallest: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Which nodes belong to a large region of seeds, and the first node of each node's region.

    Each region takes the first node of its neighbours' regions until nothing changes.
    """
    left, right = grid.edges()
    inside = tf.gather(seeds, left) & tf.gather(seeds, right)
    left, right = tf.boolean_mask(left, inside), tf.boolean_mask(right, inside)

    def merge(roots: tf.Tensor, left: tf.Tensor, right: tf.Tensor):
        here, there = tf.gather(roots, left), tf.gather(roots, right)
        first, last = tf.minimum(here, there), tf.maximum(here, there)
        lowest = tf.math.unsorted_segment_min(first, last, grid.count)
        roots = _flattened(tf.gather(tf.minimum(lowest, grid.numbers), roots))
        apart = tf.not_equal(tf.gather(roots, left), tf.gather(roots, right))
        return roots, tf.boolean_mask(left, apart), tf.boolean_mask(right, apart)

    unknown = tf.TensorShape([None])
    roots, _, _ = tf.while_loop(
        lambda _, left, __: tf.size(left) > 0,
        merge,
        (grid.numbers, left, right),
        shape_invariants=(unknown, unknown, unknown),
        parallel_iterations=1,
    )
    sizes = tf.math.unsorted_segment_sum(tf.cast(seeds, tf.int32), roots, grid.count)
    return seeds & (tf.gather(sizes, roots) >= smallest), roots


def _joined(parents: tf.Tensor, is_final: tf.Tensor, grid: _Grid, heights: tf.Tensor) -> tf.Tensor:
    """Roots after every fragment that is not final has joined over its highest pass."""
    left, right = grid.edges()
    order = tf.range(tf.size(left))

    def useful_edges(parents: tf.Tensor, left: tf.Tensor, right: tf.Tensor, order: tf.Tensor):
        here, there = tf.gather(parents, left), tf.gather(parents, right)
        is_open = ~(tf.gather(is_final, here) & tf.gather(is_final, there))
        useful = tf.not_equal(here, there) & is_open
        return [tf.boolean_mask(edges, useful) for edges in (left, right, order)]

    def join(parents: tf.Tensor, left: tf.Tensor, right: tf.Tensor, order: tf.Tensor):
        here, there = tf.gather(parents, left), tf.gather(parents, right)
        passes = tf.minimum(tf.gather(heights, left), tf.gather(heights, right))
        start = tf.concat([here, there], 0)
        goal = tf.concat([there, here], 0)
        passes = tf.concat([passes, passes], 0)
        edge = tf.concat([order, order], 0)
        (start, goal, passes, edge) = (
            tf.boolean_mask(values, ~tf.gather(is_final, start))
            for values in (start, goal, passes, edge)
        )
        # The lower of both ends; of equal passes the edge that comes first.
        highest = tf.math.unsorted_segment_max(passes, start, grid.count)
        is_best = tf.equal(passes, tf.gather(highest, start))
        start, goal, edge = (tf.boolean_mask(values, is_best) for values in (start, goal, edge))
        first = tf.math.unsorted_segment_min(edge, start, grid.count)
        is_best = tf.equal(edge, tf.gather(first, start))
        start, goal = tf.boolean_mask(start, is_best), tf.boolean_mask(goal, is_best)
        chosen = tf.tensor_scatter_nd_update(parents, start[:, tf.newaxis], goal)
        # Two that have chosen each other: the first stays.
        is_mutual = tf.equal(tf.gather(chosen, goal), start) & (start < goal)
        mutual = tf.boolean_mask(start, is_mutual)
        chosen = tf.tensor_scatter_nd_update(chosen, mutual[:, tf.newaxis], mutual)
        parents = tf.gather(_flattened(chosen), parents)
        return (parents, *useful_edges(parents, left, right, order))

    unknown = tf.TensorShape([None])
    parents, _, _, _ = tf.while_loop(
        lambda _, left, *__: tf.size(left) > 0,
        join,
        (parents, *useful_edges(parents, left, right, order)),
        shape_invariants=(unknown,) * 4,
        parallel_iterations=1,
    )
    return parents
