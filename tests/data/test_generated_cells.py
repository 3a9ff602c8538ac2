from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from keras_unet3p import data


def touching_pairs(labels: np.ndarray) -> set[tuple[int, int]]:
    pairs = set()
    for one, two in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        contact = (one != two) & (one > 0) & (two > 0)
        pairs |= {tuple(sorted(pair)) for pair in zip(one[contact], two[contact], strict=True)}
    return pairs


@pytest.mark.parametrize("size", [16, 64, (100, 257), (1023, 640)])
def test_sizes_types_and_ids(size):
    image, labels = data.generate_cells(size, seed=3)
    shape = (size, size) if isinstance(size, int) else size
    assert image.shape == labels.shape == shape
    assert (image.dtype, labels.dtype) == (np.uint8, np.uint16)
    np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert labels.max() > 0


def test_the_seed_decides_everything():
    first, again, other = (data.generate_cells(96, seed=seed) for seed in (7, 7, 8))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first[0] != other[0]).mean() > 0.5


@pytest.mark.parametrize("seed", range(3))
def test_cells_are_in_one_piece_differ_touch_and_reach_over_the_border(seed):
    _, labels = data.generate_cells(384, seed=seed)
    areas = np.bincount(labels.ravel())[1:]
    assert np.percentile(areas, 90) > 2.5 * np.percentile(areas, 10)
    for cell in range(1, labels.max() + 1):
        assert ndimage.label(labels == cell, np.ones((3, 3)))[1] == 1
    pairs = touching_pairs(labels)
    assert len({cell for pair in pairs for cell in pair}) > 0.5 * labels.max()
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    assert len(np.unique(border)) > 4
    assert 0.15 < np.mean(labels > 0) < 0.6


@pytest.mark.parametrize("seed", range(3))
def test_no_threshold_finds_the_cells(seed):
    image, labels = data.generate_cells(384, seed=seed)
    truth = labels > 0

    def dice(mask):
        return 2 * np.sum(mask & truth) / (np.sum(mask) + np.sum(truth))

    assert max(dice(image > level) for level in range(0, 256, 4)) < 0.82
    # Yet cells are brighter than what is around them.
    around = ndimage.binary_dilation(truth, iterations=6) & ~truth
    assert image[truth].mean() > image[around].mean() + 15
    assert image.std() > 20


def test_the_number_of_cells():
    assert data.generate_cells(256, seed=0, num_cells=0)[1].max() == 0
    assert data.generate_cells(256, seed=0, num_cells=12)[1].max() == pytest.approx(12, abs=3)


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (15, {}, "size is 15; expected at least 16"),
        ((64, 8), {}, r"size is \(64, 8\)"),
        (64, {"num_cells": -1}, "num_cells is -1; expected 0 to 65535"),
    ],
)
def test_arguments_out_of_range(size, options, message):
    with pytest.raises(ValueError, match=message):
        data.generate_cells(size, seed=0, **options)
