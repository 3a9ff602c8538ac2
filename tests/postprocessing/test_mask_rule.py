"""Small objects and holes of a mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from keras_unet3p.postprocessing import MaskRule, connected_regions, to_class_ids


def _removed_slowly(ids, smallest):
    result = ids.copy()
    for value in range(1, ids.max() + 1):
        regions, count = connected_regions(ids == value)
        for number in range(1, count + 1):
            if (regions == number).sum() < smallest:
                result[regions == number] = 0
    return result


def _filled_slowly(ids, largest):
    result = ids.copy()
    regions, count = connected_regions(ids == 0, connectivity=8)
    edge = np.ones(ids.shape, bool)
    edge[1:-1, 1:-1] = False
    for number in range(1, count + 1):
        hole = regions == number
        around = ndimage.binary_dilation(hole, np.ones((3, 3))) & ~hole
        values = set(ids[around].tolist())
        if hole.sum() <= largest and not (hole & edge).any() and len(values) == 1:
            result[hole] = values.pop()
    return result


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 3), st.integers(0, 6), st.integers(0, 6))
def test_objects_and_holes_are_those_of_the_definition(seed, classes, smallest, largest):
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.1, 0.6)
    ids = rng.integers(1, classes + 1, (9, 11)).astype(np.uint8)
    ids[rng.random(ids.shape) < share] = 0
    before = ids.copy()
    found = MaskRule(smallest_object=smallest, largest_hole=largest).cleaned(ids)
    expected = _filled_slowly(_removed_slowly(ids, smallest), largest)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == ids.dtype
    np.testing.assert_array_equal(ids, before)


def test_the_default_is_the_plain_threshold():
    probabilities = np.random.default_rng(0).random((20, 30, 1), np.float32)
    expected = to_class_ids(probabilities)
    np.testing.assert_array_equal(MaskRule().class_ids(probabilities), expected)
    several = np.random.default_rng(0).random((20, 30, 4), np.float32)
    np.testing.assert_array_equal(MaskRule(0.2).class_ids(several), to_class_ids(several))


def test_a_rule_is_what_its_dictionary_says():
    rule = MaskRule(0.35, 12, 7)
    assert MaskRule.from_dict(rule.to_dict()) == rule


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, r"threshold must be above 0 and at most 1, found 0\.0"),
        ({"threshold": float("nan")}, "threshold must be"),
        ({"smallest_object": -1}, "smallest_object must be a whole number of at least 0, found -1"),
        ({"largest_hole": 2.5}, r"largest_hole must be a whole number of at least 0, found 2\.5"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MaskRule(**options)
