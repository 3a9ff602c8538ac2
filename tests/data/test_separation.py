"""Touching instances drawn apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_unet3p.data import separate_instances

LABELS = hnp.arrays(
    np.int32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.sampled_from([0, 0, 1, 2, 70_000]),
)


@settings(max_examples=60, deadline=None)
@given(LABELS, st.integers(0, 3))
def test_a_pixel_stays_unless_another_instance_is_near(labels, width):
    expected = np.zeros(labels.shape, bool)
    for row, column in np.argwhere(labels):
        window = labels[
            max(row - width, 0) : row + width + 1, max(column - width, 0) : column + width + 1
        ]
        expected[row, column] = set(np.unique(window)) <= {0, labels[row, column]}
    np.testing.assert_array_equal(separate_instances(labels, width), expected)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="width is -1"):
        separate_instances(np.zeros((2, 2), int), -1)
    with pytest.raises(ValueError, match="at most 2\\^24"):
        separate_instances(np.full((2, 2), 1 << 25), 1)
