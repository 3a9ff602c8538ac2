"""Focal loss against the formula, TensorFlow Addons, and its closed cases."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet3p.losses import Focal, WeightedCrossEntropy

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(2, 7, 9, 3)).astype(np.float32)
MASK = RNG.integers(0, 3, (2, 7, 9))


def focal_in_numpy(mask, p, alpha, gamma):
    p_t = np.where(mask == 1, p, 1 - p)
    alpha_t = np.where(mask == 1, alpha, 1 - alpha)
    return (-alpha_t * (1 - p_t) ** gamma * np.log(p_t)).mean()


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.6, 0.5), (0.5, 3.0)])
def test_binary_formula(alpha, gamma):
    mask, logits = (MASK > 0).astype(int), LOGITS[..., :1].astype(np.float64)
    p = 1 / (1 + np.exp(-logits))
    expected = focal_in_numpy(mask[..., None], p, alpha, gamma)
    np.testing.assert_allclose(Focal(alpha, gamma)(mask, p), expected, rtol=1e-5)
    np.testing.assert_allclose(Focal(alpha, gamma, from_logits=True)(mask, logits), expected, 1e-5)


def test_softmax_formula():
    p = tf.nn.softmax(LOGITS.astype(np.float64)).numpy()
    own = np.take_along_axis(p, MASK[..., None], -1)
    expected = (-0.25 * (1 - own) ** 2 * np.log(own)).mean()
    np.testing.assert_allclose(Focal()(MASK, p), expected, rtol=1e-5)
    np.testing.assert_allclose(Focal(from_logits=True)(MASK, LOGITS), expected, rtol=1e-5)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("classes", [1, 3])
def test_gamma_0_without_alpha_is_cross_entropy(from_logits, classes):
    mask = MASK if classes == 3 else MASK > 0
    prediction = LOGITS[..., :classes]
    if not from_logits:
        prediction = tf.nn.softmax(prediction) if classes == 3 else tf.sigmoid(prediction)
    weights = RNG.uniform(0.5, 5.0, MASK.shape)
    np.testing.assert_allclose(
        Focal(None, 0.0, from_logits=from_logits)(mask, prediction, weights),
        WeightedCrossEntropy(from_logits=from_logits)(mask, prediction, weights),
        rtol=1e-6,
    )


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.7, 1.0)])
def test_equals_tensorflow_addons(from_logits, alpha, gamma):
    addons = pytest.importorskip("tensorflow_addons", reason="TensorFlow Addons needs Keras 2")
    mask = (MASK > 0).astype(np.float32)[..., None]
    prediction = LOGITS[..., :1] if from_logits else tf.sigmoid(LOGITS[..., :1])
    theirs = addons.losses.SigmoidFocalCrossEntropy(from_logits, alpha, gamma, reduction="none")(
        mask, prediction
    )
    ours = Focal(alpha, gamma, from_logits=from_logits, reduction="none")(mask, prediction)
    np.testing.assert_allclose(ours, np.mean(theirs, axis=(1, 2)), rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    gamma=st.floats(0.0, 5.0),
    logit=st.sampled_from([-200.0, -20.0, -1.0, 0.0, 1.0, 20.0, 200.0]),
    classes=st.sampled_from([1, 3]),
    label=st.integers(0, 1),
)
def test_gradient_is_finite_for_every_gamma(gamma, logit, classes, label):
    logits = tf.constant(np.array([logit, -logit, 0.0])[:classes].reshape(1, 1, 1, classes))
    loss = Focal(gamma=gamma, from_logits=True)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(np.full((1, 1, 1), label), logits)
    assert np.isfinite(value)
    assert np.isfinite(tape.gradient(value, logits)).all()


@pytest.mark.parametrize("classes", [1, 3])
def test_gradient_is_finite_for_sure_predictions_and_gamma_below_1(classes):
    for sign in (-1.0, 1.0):
        logits = tf.constant(sign * np.array([200.0, -200.0, 0.0])[:classes].reshape(1, 1, 1, -1))
        for label in (0, 1):
            with tf.GradientTape() as tape:
                tape.watch(logits)
                value = Focal(gamma=0.5, from_logits=True)(np.full((1, 1, 1), label), logits)
            assert np.isfinite(tape.gradient(value, logits)).all()


def test_refuses_arguments_out_of_range():
    with pytest.raises(ValueError, match="alpha must be"):
        Focal(alpha=1.5)
    with pytest.raises(ValueError, match="gamma must be"):
        Focal(gamma=-1.0)
