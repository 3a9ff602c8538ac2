"""Foreground and core of instance ids."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import ndimage

from keras_unet3p import data
from keras_unet3p.targets import instance_maps


def _maps(ids, **options):
    return instance_maps(tf.constant(ids), **options).numpy()


def _exact(ids):
    """Core by the Euclidean distance, the image's edge no outline."""
    core = np.zeros(ids.shape)
    for number in set(np.unique(ids)) - {0}:
        inside = np.pad(ids == number, 200, mode="edge")
        depth = ndimage.distance_transform_edt(inside)[200:-200, 200:-200]
        core += depth / depth.max()
    return core


def test_cells_have_the_distance_to_their_outline():
    ids = data.generate_cells(96, seed=4)[1]
    foreground, core = np.moveaxis(_maps(ids[None])[0], -1, 0)
    np.testing.assert_array_equal(foreground, ids > 0)
    assert np.abs(core - _exact(ids)).mean() < 0.02
    for number in set(np.unique(ids)) - {0}:
        assert core[ids == number].max() == 1.0
        assert core[ids == number].min() > 0.0


@settings(max_examples=60, deadline=None)
@given(st_numpy.arrays(np.int32, (2, 9, 7), elements=st.integers(0, 3)), st.data())
def test_only_the_partition_counts(ids, draw):
    maps = _maps(ids)
    assert ((maps >= 0) & (maps <= 1)).all()
    np.testing.assert_array_equal(maps[..., 0], ids > 0)
    np.testing.assert_array_equal(maps[..., 1] > 0, ids > 0)
    numbers = draw.draw(st.permutations([7, 2**20, 2**31 - 1]))
    renamed = np.select([ids == n + 1 for n in range(3)], numbers, 0).astype(np.int32)
    np.testing.assert_array_equal(_maps(renamed), maps)
    np.testing.assert_array_equal(_maps(ids[:1]), maps[:1])
    np.testing.assert_array_equal(_maps(ids[..., None]), maps)
    np.testing.assert_array_equal(_maps(ids[:, ::-1]), maps[:, ::-1])


def test_touching_instances_are_low_where_they_touch():
    ids = np.ones((1, 21, 42), np.int32)
    ids[:, :, 21:] = 2
    core = _maps(ids)[0, 10, :, 1]
    assert core[20] == core[21] == core.min()
    assert core[0] == core[-1] == 1.0, "the image's edge is no outline"


def test_pixels_without_a_label_are_marked():
    ids = np.ones((1, 6, 6), np.int32)
    ids[:, 4:] = -1
    maps = _maps(ids, ignore_class=-1)
    assert (maps[:, 4:] == -1).all()
    assert (maps[:, :4, :, 0] == 1).all()
    assert maps[0, 3, 0, 1] < maps[0, 0, 0, 1]


def test_far_from_the_outline_the_core_is_flat():
    ids = np.ones((1, 41, 41), np.int32)
    ids[:, :, 0] = 0
    core = _maps(ids, reach=10)[0, 20, :, 1]
    assert core[1] == pytest.approx(0.1)
    assert (core[10:] == 1).all()


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"ids must be .* found shape \(4, 4, 4, 2\)"):
        instance_maps(tf.zeros((4, 4, 4, 2)))
