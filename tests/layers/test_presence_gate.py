"""The gate multiplies probabilities, as in the paper, and never logits."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p.layers import PresenceGate


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


LOGITS = np.array([-60.0, -3.0, 0.0, 3.0, 60.0], "float32").reshape(1, 1, 5, 1)


@pytest.mark.parametrize("gate", [-50.0, -2.0, 0.0, 2.0, 50.0])
def test_soft_training_multiplies_the_probabilities(gate):
    presence = np.array([[1.0, 1.0 + gate]], "float32")  # absent, present
    logits = PresenceGate("sigmoid", "soft")([LOGITS, presence], training=True)
    expected = sigmoid(LOGITS) * sigmoid(gate)
    np.testing.assert_allclose(tf.sigmoid(logits), expected, rtol=1e-4, atol=1e-30)


def test_an_open_gate_hides_nothing_from_training():
    absent = np.array([[9.0, -9.0]], "float32")
    np.testing.assert_array_equal(PresenceGate()([LOGITS, absent], training=True), LOGITS)


def test_soft_training_lets_finite_gradients_through():
    mask, presence = tf.constant(LOGITS * 3), tf.constant([[80.0, -80.0]])
    with tf.GradientTape() as tape:
        tape.watch((mask, presence))
        loss = tf.reduce_sum(PresenceGate("sigmoid", "soft")([mask, presence], training=True))
    for gradient in tape.gradient(loss, (mask, presence)):
        assert np.all(np.isfinite(gradient))
        assert np.any(gradient)


def test_inference_is_all_or_exactly_nothing():
    present, absent = [[-0.1, 0.1]], [[0.1, -0.1]]
    gate = PresenceGate("sigmoid")
    np.testing.assert_array_equal(gate([LOGITS, np.float32(present)]), LOGITS)
    nothing = tf.sigmoid(gate([LOGITS, np.float32(absent)]))
    np.testing.assert_array_equal(nothing, np.zeros_like(LOGITS))


def test_each_image_and_class_by_itself_and_never_the_background():
    logits = np.random.default_rng(0).normal(size=(2, 3, 3, 3)).astype("float32")
    presence = np.array([[-5, 5, -5], [5, -5, 5]], "float32")
    probabilities = tf.nn.softmax(PresenceGate("softmax")([logits, presence])).numpy()
    assert np.all(probabilities[0, ..., 2] == 0)
    assert np.all(probabilities[1, ..., 1] == 0)
    odds = np.exp(logits[0, ..., 1] - logits[0, ..., 0])
    found = probabilities[0, ..., 1] / probabilities[0, ..., 0]
    np.testing.assert_allclose(found, odds, rtol=1e-4)


def test_soft_training_of_softmax_weighs_by_presence():
    logits = np.zeros((1, 1, 1, 3), "float32")
    presence = np.array([[-9, 0, 20]], "float32")
    gated = PresenceGate("softmax", "soft")([logits, presence], training=True).numpy().ravel()
    np.testing.assert_allclose(gated, [0, np.log(0.5), 0], atol=1e-6)


def test_multi_label_classes_are_gated_each():
    logits = np.zeros((1, 1, 1, 2), "float32")
    gated = PresenceGate("sigmoid")([logits, np.array([[1, -1]], "float32")]).numpy().ravel()
    np.testing.assert_array_equal(gated, [0, -200])
