"""Losses add up, and may be scaled."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_unet3p import losses

RNG = np.random.default_rng(0)
MASKS = RNG.integers(0, 2, (3, 12, 10))
P = RNG.uniform(0.02, 0.98, (3, 12, 10, 1)).astype(np.float32)
MAP = RNG.uniform(0.0, 3.0, (3, 12, 10)).astype(np.float32)
IMAGES = np.array([0.5, 0.0, 2.0], np.float32)


@pytest.mark.parametrize("reduction", ["mean", "sum", "mean_with_sample_weight", "none"])
@pytest.mark.parametrize("weights", [None, IMAGES, MAP], ids=["plain", "images", "map"])
def test_a_sum_is_the_sum(reduction, weights):
    dice, focal, hybrid = (
        kind(reduction=reduction) for kind in (losses.Dice, losses.Focal, losses.HybridLoss)
    )
    mixture = 0.5 * dice + 2 * (focal + hybrid * 0.25)
    expected = sum(
        factor * np.asarray(loss(MASKS, P, weights))
        for factor, loss in ((0.5, dice), (2.0, focal), (0.5, hybrid))
    )
    np.testing.assert_allclose(mixture(MASKS, P, weights), expected, rtol=1e-5)
    assert [weight for weight, _ in mixture.terms] == [0.5, 2.0, 0.5]
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(mixture))
    assert type(again) is losses.LossSum
    assert again.get_config() == mixture.get_config()
    np.testing.assert_array_equal(again(MASKS, P, weights), mixture(MASKS, P, weights))


def test_the_papers_hybrid_loss_is_a_sum():
    mixture = losses.Focal() + losses.MSSSIM() + losses.IoU()
    np.testing.assert_allclose(mixture(MASKS, P), losses.HybridLoss()(MASKS, P), rtol=1e-5)
    np.testing.assert_allclose(
        mixture.per_class(MASKS, P), losses.HybridLoss().per_class(MASKS, P), rtol=1e-5
    )


def test_numbers_of_numpy_and_sum():
    expected = 0.5 * losses.Dice()(MASKS, P)
    for number in (np.float32(0.5), np.float64(0.5)):
        np.testing.assert_allclose((number * losses.Dice())(MASKS, P), expected, rtol=1e-6)
        np.testing.assert_allclose((losses.Dice() * number)(MASKS, P), expected, rtol=1e-6)
    parts = [losses.Dice(), losses.Focal()]
    np.testing.assert_allclose(
        sum(parts)(MASKS, P), losses.Dice()(MASKS, P) + losses.Focal()(MASKS, P), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"from_logits": True}, "agree in from_logits; dice has False, focal True"),
        ({"multi_label": True}, "agree in multi_label"),
        ({"ignore_class": 255}, "agree in ignore_class"),
        ({"reduction": "sum"}, "agree in reduction; dice has 'mean', focal 'sum'"),
        ({"dtype": "float64"}, "agree in dtype"),
    ],
)
def test_losses_of_a_sum_speak_of_one_prediction(options, message):
    with pytest.raises(ValueError, match=message):
        losses.Dice() + losses.Focal(**options)
    mixture = losses.Dice(**options) + losses.Focal(**options)
    for name, value in options.items():
        assert getattr(mixture, name) == value


def test_what_cannot_be_added():
    for weight in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="finite and at least 0"):
            weight * losses.Dice()
    with pytest.raises(TypeError):
        losses.Dice() + 1
    with pytest.raises(TypeError):
        losses.Dice() * "2"
    with pytest.raises(ValueError, match="must be SegmentationLosses"):
        losses.LossSum([keras.losses.MeanSquaredError()])
    with pytest.raises(ValueError, match="weights one for each"):
        losses.LossSum([losses.Dice()], [1.0, 2.0])
