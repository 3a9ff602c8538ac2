"""Regions of a mask, and a mask whose regions are given."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_unet3p import data
from keras_unet3p.postprocessing import connected_regions, parted


@settings(max_examples=80, deadline=None)
@given(
    st_numpy.arrays(
        np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)
    )
)
def test_no_two_instances_touch_in_a_parted_mask(ids):
    mask = parted(ids)
    assert not mask[ids == 0].any()
    for axis in (0, 1):
        here, there = (np.take(ids, range(s, ids.shape[axis] - 1 + s), axis) for s in (0, 1))
        both = [np.take(mask, range(s, ids.shape[axis] - 1 + s), axis) for s in (0, 1)]
        assert not ((here != there) & (both[0] > 0) & (both[1] > 0)).any()
    alone = np.where(ids == 1, ids, 0)
    np.testing.assert_array_equal(parted(alone), alone > 0)


def test_the_regions_of_a_parted_mask_are_the_cells():
    ids = data.generate_cells(128, seed=5)[1]
    regions, count = connected_regions(parted(ids))
    assert count == len(np.unique(ids)) - 1
    for number in range(1, count + 1):
        assert len(np.unique(ids[regions == number])) == 1
