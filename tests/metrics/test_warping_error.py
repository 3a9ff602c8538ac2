"""Warping error: what it forgives, what it counts, and that it cannot do better."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from keras_unet3p.metrics import pixel_error, simple_points, warping_error
from keras_unet3p.metrics.topology import NEIGHBORS

STRUCTURES = {4: ndimage.generate_binary_structure(2, 1), 8: np.ones((3, 3), bool)}


def count(image, connectivity):
    return ndimage.label(image, STRUCTURES[connectivity])[1]


def slow_warp(truth, prediction, threshold, connectivity):
    """Whole passes over all differing pixels, in order, until one changes nothing."""
    simple = simple_points(connectivity)
    source, target = np.pad(truth > 0, 1), np.pad(prediction > threshold, 1)
    sureness = np.pad(np.abs(prediction - threshold), 1)
    changed = True
    while changed:
        changed = False
        columns, rows = np.nonzero((source != target).T)
        order = np.argsort(-sureness[rows, columns], kind="stable")
        for row, column in zip(rows[order], columns[order], strict=True):
            code = sum(
                int(source[row + r, column + c]) << bit for bit, (r, c) in enumerate(NEIGHBORS)
            )
            if simple[code]:
                source[row, column] ^= True
                changed = True
    return source[1:-1, 1:-1]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 14),
    width=st.integers(1, 14),
    connectivity=st.sampled_from([4, 8]),
    smooth=st.booleans(),
    probabilities=st.booleans(),
)
def test_equals_whole_passes_and_keeps_topology(
    seed, height, width, connectivity, smooth, probabilities
):
    rng = np.random.default_rng(seed)
    truth, prediction = rng.random((2, height, width))
    if smooth:
        truth, prediction = (ndimage.gaussian_filter(x, 1.0) for x in (truth, prediction))
    truth = truth > np.median(truth)
    if not probabilities:
        prediction = (prediction > np.median(prediction)).astype(float)
    result = warping_error(truth, prediction, foreground_connectivity=connectivity)
    np.testing.assert_array_equal(result.warped, slow_warp(truth, prediction, 0.5, connectivity))
    for colour, neighbours in ((True, connectivity), (False, 12 - connectivity)):
        # On background, as the measure has it: the frame is background.
        before, after = np.pad(truth, 1) == colour, np.pad(result.warped, 1) == colour
        assert count(before, neighbours) == count(after, neighbours)
    assert result.error == np.mean(result.warped != (prediction > 0.5))
    assert result.error <= pixel_error(truth, prediction > 0.5)


def cells():
    """Two cells with a membrane between them and around."""
    image = np.zeros((40, 60), bool)
    image[5:35, 5:29] = True
    image[5:35, 31:55] = True
    return image


def test_displaced_borders_cost_nothing():
    truth = cells()
    for prediction in (
        truth,
        np.roll(truth, 1, axis=1),
        ndimage.binary_erosion(truth, iterations=6),
        ndimage.binary_dilation(truth, STRUCTURES[4]) & (np.arange(60) != 29),
    ):
        assert warping_error(truth, prediction).error == 0.0


def test_counts_merge_split_object_and_hole():
    truth = cells()
    merged = truth.copy()
    merged[20, 29:31] = True
    assert warping_error(truth, merged).error == 1 / truth.size
    split = truth.copy()
    split[:, 15:17] = False
    # The truth thins out to a bridge, as long as the cut is wide.
    assert warping_error(truth, split).error == 2 / truth.size
    missing = truth.copy()
    missing[:, 31:] = False
    assert warping_error(truth, missing).error == 1 / truth.size
    extra = truth.copy()
    extra[37, 10:14] = True
    assert warping_error(truth, extra).error == 4 / truth.size
    hole = truth.copy()
    hole[20, 10] = False
    assert warping_error(truth, hole).error == 1 / truth.size


def test_diagonal_neighbours_are_parted_unless_asked():
    truth, prediction = np.zeros((2, 6, 6), bool)
    truth[1:3, 1:3] = truth[3:5, 3:5] = True
    prediction[1:5, 1:5] = True
    assert warping_error(truth, prediction).error > 0.0
    assert warping_error(truth, prediction, foreground_connectivity=8).error == 0.0


def test_image_lies_on_background():
    truth = np.ones((5, 7), bool)
    prediction = truth.copy()
    prediction[:, 3] = False
    # Splitting a cell that fills the image: one pixel of the cut has to stay.
    assert warping_error(truth, prediction).error == 1 / 35
    assert warping_error(truth, ndimage.binary_erosion(truth)).error == 0.0


def test_refuses_shapes_that_differ():
    with pytest.raises(ValueError, match=r"\(4, 4\) and \(4, 5\)"):
        warping_error(np.ones((4, 4)), np.ones((4, 5)))
    with pytest.raises(ValueError, match="foreground_connectivity must be 4 or 8"):
        warping_error(np.ones((4, 4)), np.ones((4, 4)), foreground_connectivity=6)
