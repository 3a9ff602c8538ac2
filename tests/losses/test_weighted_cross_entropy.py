"""Weighted cross-entropy against NumPy and Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_unet3p.losses import WeightedCrossEntropy


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 7, 9, 3)).astype(np.float32)
    return rng.integers(0, 3, (2, 7, 9)), logits, rng.uniform(0.5, 10.0, (2, 7, 9))


def softmax_in_numpy(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def test_equation_1_of_the_paper(case):
    mask, logits, weights = case
    log_p = np.log(softmax_in_numpy(logits))
    expected = -weights * np.take_along_axis(log_p, mask[..., None], -1)[..., 0]
    for normalization, divisor in (
        ("pixels", 63),
        ("weights", weights.sum(axis=(1, 2))),
        ("sum", 1),
    ):
        loss = WeightedCrossEntropy(from_logits=True, normalization=normalization, reduction="none")
        np.testing.assert_allclose(
            loss(mask, logits, weights), expected.sum(axis=(1, 2)) / divisor, rtol=1e-5
        )
        np.testing.assert_allclose(
            loss(mask, logits, weights[..., None]), loss(mask, logits, weights), rtol=1e-6
        )


def test_equals_keras(case):
    mask, logits, _ = case
    np.testing.assert_allclose(
        WeightedCrossEntropy(from_logits=True)(mask, logits),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True)(mask, logits),
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        WeightedCrossEntropy(from_logits=True)(mask > 0, logits[..., :1]),
        keras.losses.BinaryCrossentropy(from_logits=True)(mask[..., None] > 0, logits[..., :1]),
        rtol=1e-5,
    )


def test_class_weights_scale_the_pixels_of_a_class(case):
    mask, logits, _ = case
    class_weights = [0.5, 2.0, 3.0]
    np.testing.assert_allclose(
        WeightedCrossEntropy(from_logits=True, class_weights=class_weights)(mask, logits),
        WeightedCrossEntropy(from_logits=True)(mask, logits, np.take(class_weights, mask)),
        rtol=1e-5,
    )
    binary = (mask > 0).astype(int)
    np.testing.assert_allclose(
        WeightedCrossEntropy(from_logits=True, class_weights=[0.5, 2.0])(binary, logits[..., :1]),
        WeightedCrossEntropy(from_logits=True)(
            binary, logits[..., :1], np.take([0.5, 2.0], binary)
        ),
        rtol=1e-5,
    )


def test_ignored_pixels_leave_the_mean(case):
    mask, logits, weights = case
    mask[:, :, 5:] = 255
    loss = WeightedCrossEntropy(from_logits=True, ignore_class=255)
    cropped = WeightedCrossEntropy(from_logits=True)
    np.testing.assert_allclose(
        loss(mask, logits, weights),
        cropped(mask[:, :, :5], logits[:, :, :5], weights[:, :, :5]),
        rtol=1e-5,
    )
    assert loss(np.full_like(mask, 255), logits) == 0.0


def test_logits_are_exact_where_probabilities_would_be_clipped():
    logits = np.full((1, 1, 1, 1), -80.0, np.float32)
    loss = WeightedCrossEntropy(from_logits=True)
    assert float(loss(np.ones((1, 1, 1)), logits)) == pytest.approx(80.0)
    clipped = WeightedCrossEntropy()(np.ones((1, 1, 1)), np.zeros((1, 1, 1, 1)))
    assert float(clipped) == pytest.approx(-np.log(1e-7), rel=1e-4)


def test_soft_labels(case):
    _, logits, _ = case
    p = 1 / (1 + np.exp(-logits[..., :1]))
    expected = -(0.3 * np.log(p) + 0.7 * np.log(1 - p)).mean()
    value = WeightedCrossEntropy(from_logits=True)(np.full((2, 7, 9), 0.3), logits[..., :1])
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_refuses_unknown_normalization():
    with pytest.raises(ValueError, match="normalization must be None or one of"):
        WeightedCrossEntropy(normalization="area")
