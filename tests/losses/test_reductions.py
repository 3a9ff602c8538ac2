"""Reductions and dtypes mean what they mean in `keras.losses.Loss`, with either Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import losses
from keras_unet3p.compat import KERAS_3

RNG = np.random.default_rng(0)
MASKS = RNG.integers(0, 2, (3, 12, 10))
P = RNG.uniform(0.02, 0.98, (3, 12, 10, 1)).astype(np.float32)
MAP = RNG.uniform(0.0, 3.0, (3, 12, 10)).astype(np.float32)
MAP[0, :6] = 0
IMAGES = np.array([0.5, 0.0, 2.0], np.float32)
SCALARS = ["sum_over_batch_size", "sum", *(["mean", "mean_with_sample_weight"] if KERAS_3 else [])]
KINDS = {
    "cross_entropy": losses.WeightedCrossEntropy,
    "focal": losses.Focal,
    "dice": losses.Dice,
    "ms_ssim": losses.MSSSIM,
    "cl_dice": losses.ClDice,
    "hybrid": losses.HybridLoss,
}


class PerImage(keras.losses.Loss):
    """What Keras makes of the values of images."""

    def __init__(self, inner, reduction):
        super().__init__(reduction=reduction, name="per_image")
        self.inner = inner

    def call(self, y_true, y_pred):
        return self.inner.per_image(y_true, y_pred)


@pytest.mark.parametrize("weights", [None, MAP], ids=["plain", "map"])
@pytest.mark.parametrize("reduction", SCALARS)
def test_pixel_losses_equal_kerass_own(reduction, weights):
    for classes in (1, 3):
        if classes == 1:
            masks, p = MASKS, P
            theirs = keras.losses.BinaryCrossentropy(reduction=reduction)
        else:
            masks = RNG.integers(0, 3, MASKS.shape)
            p = tf.nn.softmax(RNG.normal(size=(3, 12, 10, 3)).astype(np.float32))
            theirs = keras.losses.SparseCategoricalCrossentropy(reduction=reduction)
        expected = theirs(masks[..., None] if classes == 1 else masks, p, weights)
        found = losses.WeightedCrossEntropy(reduction=reduction)(masks, p, weights)
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("weights", [None, IMAGES], ids=["plain", "images"])
@pytest.mark.parametrize("reduction", [*SCALARS, "none"])
@pytest.mark.parametrize("name", ["dice", "ms_ssim", "hybrid"])
def test_region_losses_reduce_their_images_as_keras_does(name, reduction, weights):
    loss = KINDS[name](reduction=reduction)
    expected = PerImage(KINDS[name](), reduction)(MASKS.astype(np.float32), P, weights)
    np.testing.assert_allclose(loss(MASKS, P, weights), expected, rtol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_every_spelling_is_taken_on_both(name):
    for weights in (None, IMAGES, MAP):
        values = {
            reduction: np.asarray(KINDS[name](reduction=reduction)(MASKS, P, weights))
            for reduction in (
                "auto",
                "sum_over_batch_size",
                "mean",
                "mean_with_sample_weight",
                "none",
                None,
            )
        }
        np.testing.assert_array_equal(values["auto"], values["mean"])
        np.testing.assert_array_equal(values["sum_over_batch_size"], values["mean"])
        np.testing.assert_array_equal(values["none"], values[None])
        assert values[None].shape == (3,)
        np.testing.assert_allclose(values[None].mean(), values["mean"], rtol=1e-5)
        if weights is None:
            np.testing.assert_allclose(values["mean_with_sample_weight"], values["mean"], rtol=1e-5)
        elif weights is IMAGES:
            expected = values[None].sum() / IMAGES.sum()
            np.testing.assert_allclose(values["mean_with_sample_weight"], expected, rtol=1e-5)


def test_the_mean_of_a_hybrid_weighs_pixels_within_an_image():
    loss = losses.HybridLoss(weights=[1.0, 0.0, 1.0], reduction="mean_with_sample_weight")
    focal = losses.Focal(normalization="weights")(MASKS, P, MAP)
    np.testing.assert_allclose(loss(MASKS, P, MAP), focal + losses.IoU()(MASKS, P), rtol=1e-5)
    np.testing.assert_allclose(
        losses.HybridLoss(reduction="sum")(MASKS, P), 3 * losses.HybridLoss()(MASKS, P), rtol=1e-5
    )


def test_nothing_weighs_anything():
    for kind in KINDS.values():
        loss = kind(reduction="mean_with_sample_weight")
        assert loss(MASKS, P, 0 * IMAGES) == 0.0
        assert np.isfinite(loss(MASKS, P, 0 * MAP))
        assert loss(MASKS[:0], P[:0]) == 0.0


@pytest.mark.parametrize("name", KINDS)
def test_dtypes(name):
    """Double precision is computed in double precision: its rounding is that of float64."""
    exact = P.astype(np.float64) + 1e-12 * RNG.random(P.shape)
    double = KINDS[name](dtype="float64")
    assert double(MASKS, exact).dtype == tf.float64
    assert double(MASKS, exact) != double(MASKS, exact.astype(np.float32).astype(np.float64))
    np.testing.assert_allclose(double(MASKS, exact), KINDS[name]()(MASKS, P), rtol=1e-4)
    for dtype, expected in (
        (None, "float32"),
        ("float16", "float16"),
        ("mixed_bfloat16", "bfloat16"),
        (tf.float64, "float64"),
        (np.float32, "float32"),
    ):
        loss = KINDS[name](dtype=dtype)
        assert loss.dtype == expected
        assert loss(MASKS, P).dtype == expected
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
        assert again.dtype == expected
        value = tf.cast(loss(MASKS, P), tf.float32)
        np.testing.assert_allclose(value, KINDS[name]()(MASKS, P), rtol=0.01)


@pytest.mark.parametrize("reduction", ["mean", "mean_with_sample_weight", "sum", None])
def test_in_compile(reduction):
    image = keras.Input((12, 10, 1))
    model = keras.Model(image, keras.layers.Activation("linear")(image))
    loss = losses.Focal(reduction=reduction)
    model.compile("sgd", loss, jit_compile=False)
    found = model.evaluate(P, MASKS, sample_weight=MAP, verbose=0)
    np.testing.assert_allclose(found, np.mean(loss(MASKS, P, MAP)), rtol=1e-5)
