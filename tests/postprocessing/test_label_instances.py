"""From a mask with gaps back to touching instances."""

import numpy as np
import pytest

from keras_unet3p.data import generate_cells, separate_instances
from keras_unet3p.postprocessing import label_instances


@pytest.mark.parametrize("width", [1, 2])
def test_touching_cells_come_back_with_their_outlines(width):
    labels = np.zeros((40, 60), np.int32)
    labels[5:35, 5:30] = 7
    labels[5:35, 30:55] = 9
    found = label_instances(separate_instances(labels, width), width)
    assert found.max() == 2
    np.testing.assert_array_equal(found > 0, labels > 0)
    for first, second in ((7, 1), (9, 2)):
        np.testing.assert_array_equal(found == second, labels == first)


def test_generated_cells_come_back_nearly_whole():
    _, labels = generate_cells((256, 256), seed=3)
    found = label_instances(separate_instances(labels, 1), 1)
    both = np.count_nonzero((found > 0) & (labels > 0))
    assert 2 * both / (np.count_nonzero(found) + np.count_nonzero(labels)) > 0.99
    assert abs(found.max() - (len(np.unique(labels)) - 1)) <= 0.1 * found.max()


def test_small_pieces_are_left_out_and_ids_have_no_gap():
    mask = np.zeros((20, 20), bool)
    mask[1:6, 1:6] = mask[10, 10] = mask[14:19, 14:19] = True
    assert sorted(np.unique(label_instances(mask, 0, smallest=2))) == [0, 1, 2]
    assert not label_instances(np.zeros((4, 4)), 1).any()
