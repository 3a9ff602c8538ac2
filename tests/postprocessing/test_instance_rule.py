"""Instances of two maps: in NumPy, and the same in the graph."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from skimage.measure import label
from skimage.segmentation import watershed

from keras_unet3p import metrics
from keras_unet3p.postprocessing import InstanceRule, in_graph_instances
from keras_unet3p.postprocessing.instance_rule import two_maps
from tests.postprocessing.instance_maps import MAPS, RULES, noisy_cells

_graph = tf.function(in_graph_instances, autograph=False, reduce_retracing=True)


def _both(maps, rule):
    """The ids, which are the same in the graph."""
    found = rule.instances(maps)
    again = in_graph_instances(tf.constant(maps, tf.float32), rule).numpy()
    assert found.dtype == again.dtype == np.int32
    np.testing.assert_array_equal(found, again)
    return found


@settings(max_examples=150, deadline=None)
@given(MAPS, RULES)
def test_what_holds_for_any_maps(maps, rule):
    found = _both(maps, rule)
    foreground, core = two_maps(maps, rule.smoothing)
    mask = foreground >= np.float32(rule.threshold)
    ids, first = np.unique(found, return_index=True)
    first = first[ids > 0]
    assert ids[ids > 0].tolist() == list(range(1, len(first) + 1)), "numbered without gaps"
    assert (np.diff(first) > 0).all(), "in scanning order"
    for number in ids[ids > 0]:
        assert label(found == number, connectivity=1).max() == 1, "one piece each"
        assert (found == number).sum() >= rule.smallest_object
    everything = dataclasses.replace(rule, smallest_object=0)
    whole = everything.instances(maps)
    np.testing.assert_array_equal(whole > 0, mask)
    # Each seed is within one object, and each object holds one seed or is a piece of the mask.
    seeds = label(mask & (core >= np.float32(rule.seed_threshold)), connectivity=1)
    sizes = np.bincount(seeds.ravel())
    large = [n for n in range(1, len(sizes)) if sizes[n] >= max(rule.smallest_seed, 1)]
    owners = [np.unique(whole[seeds == number]) for number in large]
    assert all(len(owner) == 1 for owner in owners)
    assert len({int(owner[0]) for owner in owners}) == len(large)
    pieces = label(mask, connectivity=1)
    seedless = set(range(1, pieces.max() + 1)) - {
        int(pieces[seeds == number][0]) for number in large
    }
    assert whole.max() == len(large) + len(seedless)


def _spiral(turns=6):
    side = 4 * turns + 3
    path = np.zeros((side, side), bool)
    row, column, step, heading = 1, 1, (0, 1), side - 3
    lengths = [heading] + [n for n in range(heading, 0, -2) for _ in (0, 1)]
    for length in lengths:
        for _ in range(length):
            path[row, column] = True
            row, column = row + step[0], column + step[1]
        step = (step[1], -step[0])
    path[row, column] = True
    return path


@pytest.mark.parametrize(
    ("name", "mask", "count"),
    [
        ("spiral", _spiral(), 1),
        ("checkerboard", np.indices((9, 9)).sum(0) % 2 == 0, 41),
        ("full", np.ones((17, 23), bool), 1),
        ("empty", np.zeros((17, 23), bool), 0),
        ("snake", np.pad(np.arange(40)[:, None] % 2 == 0, ((0, 0), (0, 20)), "edge"), 20),
    ],
)
@pytest.mark.parametrize("core", [0.0, 0.5, 1.0])
def test_shapes_that_take_many_rounds(name, mask, count, core):
    maps = np.stack([mask, np.full(mask.shape, core)], -1).astype(np.float32)
    assert _both(maps, InstanceRule(smallest_seed=1, smallest_object=0)).max() == count


def test_touching_cells_part_as_a_flooding_watershed_parts_them():
    labels, maps = noisy_cells()
    rule = InstanceRule(seed_threshold=0.5)
    found = _both(maps, rule)
    mask = maps[..., 0] >= 0.5
    seeds = label(mask & (maps[..., 1] >= 0.5), connectivity=1)
    seeds[np.bincount(seeds.ravel())[seeds] < rule.smallest_seed] = 0
    flooded = watershed(-maps[..., 1], seeds, mask=mask)
    ours, theirs = (
        metrics.object_scores(labels, ids, 0.7).average_precision for ids in (found, flooded)
    )
    assert ours > 0.9
    assert abs(ours - theirs) < 0.02
    merged = label(mask, connectivity=1)
    assert metrics.object_scores(labels, merged, 0.7).average_precision < ours - 0.2


def test_one_map_is_both():
    probability = np.array([[0.9, 0.6, 0.7, 0.1]], np.float32)
    rule = InstanceRule(seed_threshold=0.7, smallest_seed=1, smallest_object=0)
    for maps in (probability, probability[..., None], np.stack([probability] * 2, -1)):
        assert rule.instances(maps).tolist() == [[1, 1, 2, 0]]


def test_images_of_several_sizes_in_one_graph():
    rule = InstanceRule()
    for seed, size in enumerate((40, 64, 33)):
        _, maps = noisy_cells(size, seed)
        found = _graph(tf.constant(maps), rule).numpy()
        np.testing.assert_array_equal(found, rule.instances(maps))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threshold": 0.0}, "threshold must be above 0 and at most 1, found 0.0"),
        ({"seed_threshold": 1.5}, "seed_threshold must be above 0 and at most 1, found 1.5"),
        ({"smallest_seed": -1}, "smallest_seed must be a whole number of at least 0, found -1"),
        ({"smallest_object": 1.5}, "smallest_object must be a whole number of at least 0"),
        ({"smoothing": -1}, "smoothing must be a whole number of at least 0, found -1"),
        ({"smoothing": 17}, "smoothing must be at most 16, found 17"),
    ],
)
def test_numbers_out_of_range(values, message):
    with pytest.raises(ValueError, match=message):
        InstanceRule(**values)


def test_maps_of_another_shape():
    with pytest.raises(ValueError, match=r"maps must be .* found shape \(4, 4, 3\)"):
        InstanceRule().instances(np.zeros((4, 4, 3)))


def test_a_rule_is_kept_as_a_dictionary():
    rule = InstanceRule(0.4, 0.7, 3, 20, 2)
    assert InstanceRule.from_dict({**rule.to_dict(), "measure": "ap"}) == rule
    assert InstanceRule.is_in(rule.to_dict())
    assert not InstanceRule.is_in({"threshold": 0.5, "seed_threshold": None})
