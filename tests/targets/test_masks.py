"""Which shapes a mask may have beside its prediction."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet3p import losses, metrics
from keras_unet3p.targets.masks import mask_with_channels, per_class_maps


@settings(max_examples=50, deadline=None)
@given(
    batch=st.integers(1, 4),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    classes=st.integers(1, 4),
    margin=st.integers(0, 2),
)
def test_shapes_that_fit_are_taken(batch, height, width, classes, margin):
    prediction = tf.zeros((batch, height, width, classes))
    for size in {(height, width), (height + 2 * margin, width + 2 * margin)}:
        for shape in ((batch, *size), (batch, *size, 1), (batch, *size, classes)):
            mask = tf.zeros(shape)
            found = mask_with_channels(mask, prediction, margin=margin)
            assert found.shape == (shape if len(shape) == 4 else (*shape, 1))


@pytest.mark.parametrize("shape", [(24, 20), (24, 20, 1), (24, 20, 3)])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_missing_batch_axis_is_named(shape, batch):
    masks = np.zeros(shape, np.int32)
    p = np.full((batch, 24, 20, 3), 1 / 3, np.float32)
    message = r"must begin with the axis of the batch.*mask \(24, 20"
    with pytest.raises(ValueError, match=message):
        losses.Dice()(masks, p)
    with pytest.raises(ValueError, match=message):
        metrics.Dice().update_state(masks, p)


def test_shapes_that_do_not_fit_are_named():
    prediction = tf.zeros((2, 24, 20, 3))
    for shape, message in (
        ((3, 24, 20), "differ in batch size, 3 against 2"),
        ((2, 24, 19, 1), "differ in width, 19 against 20"),
        ((2, 24, 20, 2), "1 channel .* or 3"),
        ((2, 24, 20, 3, 1), "y_true must be"),
        ((2,), "y_true must be"),
    ):
        with pytest.raises(ValueError, match=message):
            mask_with_channels(tf.zeros(shape), prediction)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.float64])
@pytest.mark.parametrize("label", [2**31, 2**32, 2**32 + 1, 2**53])
def test_large_labels_are_refused_and_may_be_ignored(label, dtype):
    mask = np.array([[[[0], [1]], [[2], [label]]]]).astype(dtype)
    with pytest.raises(ValueError, match="class ids 0 to 2"):
        per_class_maps(tf.constant(mask), 3, None)
    truth, valid, poison = per_class_maps(tf.constant(mask), 3, label)
    np.testing.assert_array_equal(truth[0, 1], [[0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(valid[0, ..., 0], [[1, 1], [1, 0]])
    assert poison == 0
