"""Objects out of probability maps."""

from __future__ import annotations

import numpy as np
import pytest

from keras_unet3p.postprocessing import instances_from_probability


def probability():
    values = np.zeros((12, 20), np.float32)
    values[1:5, 1:5] = 0.9
    values[1:5, 10:16] = 0.7
    values[8, 3] = 0.8
    values[9, 4] = 0.8
    return values


def test_regions_above_the_threshold_in_scanning_order():
    labels = instances_from_probability(probability())
    assert labels.dtype == np.int32
    assert labels.shape == (12, 20)
    assert labels.max() == 4
    assert (labels[1:5, 1:5] == 1).all()
    assert (labels[1:5, 10:16] == 2).all()
    assert (labels[8, 3], labels[9, 4]) == (3, 4)
    assert (labels > 0).sum() == 16 + 24 + 2
    assert instances_from_probability(probability(), threshold=0.75).max() == 3
    # The threshold itself is foreground.
    assert instances_from_probability(np.full((3, 3), 0.5)).max() == 1
    just_below = np.nextafter(np.float32(0.5), np.float32(0.0))
    assert instances_from_probability(np.full((3, 3), just_below)).max() == 0


def test_connectivity_of_8_joins_diagonal_pixels():
    assert instances_from_probability(probability(), connectivity=8).max() == 3


def test_small_objects_go_and_numbers_close_up():
    labels = instances_from_probability(probability(), min_size=17)
    assert np.unique(labels).tolist() == [0, 1]
    assert (labels[1:5, 10:16] == 1).all()
    assert instances_from_probability(probability(), min_size=16).max() == 2


def test_forms_of_the_map():
    expected = instances_from_probability(probability())
    values = probability()[..., None]
    np.testing.assert_array_equal(instances_from_probability(values), expected)
    softmax = np.concatenate([1 - values, 0.3 * values, 0.7 * values], axis=-1)
    np.testing.assert_array_equal(instances_from_probability(softmax), expected)


def test_seeds_part_touching_objects():
    values = np.zeros((20, 40), np.float32)
    values[5:15, 5:35] = 0.9
    values[5:15, 19:21] = 0.6
    values[17, 3:6] = 0.6
    assert instances_from_probability(values).max() == 2
    labels = instances_from_probability(values, seed_threshold=0.8)
    # Two cells, and the faint one without a seed.
    assert labels.max() == 3
    assert len(set(labels[10, 5:19])) == len(set(labels[10, 21:35])) == 1
    assert labels[10, 6] != labels[10, 30]
    np.testing.assert_array_equal(labels > 0, values > 0.5)


def test_holes_are_filled_where_one_object_surrounds_them():
    values = np.zeros((12, 30), np.float32)
    values[2:10, 2:10] = 0.9
    values[5:7, 5:7] = 0
    values[0:3, 20] = values[3, 20:25] = values[0:3, 25] = 0.9
    labels = instances_from_probability(values, fill_holes=True)
    assert (labels[2:10, 2:10] == labels[2, 2]).all()
    # A bay at the image's edge is none.
    assert (labels[0:3, 21:25] == 0).all()
    assert (instances_from_probability(values)[5:7, 5:7] == 0).all()


def test_empty_and_full():
    assert instances_from_probability(np.zeros((5, 6))).max() == 0
    assert (instances_from_probability(np.ones((5, 6))) == 1).all()
    assert (instances_from_probability(np.ones((5, 6)), fill_holes=True) == 1).all()


def test_refuses_what_cannot_be_right():
    with pytest.raises(ValueError, match=r"received shape \(2, 3, 4, 5\)"):
        instances_from_probability(np.zeros((2, 3, 4, 5)))
    with pytest.raises(ValueError, match=r"in \[0, 1\]; received 0 to 255"):
        instances_from_probability(np.array([[0, 255]]))
    with pytest.raises(ValueError, match="connectivity must be 4 or 8"):
        instances_from_probability(probability(), connectivity=6)
    with pytest.raises(ValueError, match="seed_threshold must be above"):
        instances_from_probability(probability(), seed_threshold=0.4)
