"""A hybrid loss is the weighted sum of its losses, and is what adding losses makes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_unet3p import losses

RNG = np.random.default_rng(0)
MASK = RNG.integers(0, 3, (2, 32, 32))
PROBABILITIES = RNG.dirichlet(np.ones(3), (2, 32, 32)).astype(np.float32)
WEIGHTS = RNG.uniform(0.5, 5.0, (2, 32, 32))

MASKS = RNG.integers(0, 2, (3, 12, 10))
P = RNG.uniform(0.02, 0.98, (3, 12, 10, 1)).astype(np.float32)
MAP = RNG.uniform(0.0, 3.0, (3, 12, 10)).astype(np.float32)
IMAGES = np.array([0.5, 0.0, 2.0], np.float32)


def test_default_is_focal_and_ms_ssim_and_iou():
    expected = sum(
        term(reduction="none")(MASK, PROBABILITIES).numpy()
        for term in (losses.Focal, losses.MSSSIM, losses.IoU)
    )
    loss = losses.HybridLoss(reduction="none")
    np.testing.assert_allclose(loss(MASK, PROBABILITIES), expected, rtol=1e-6)
    values = loss.term_values(MASK, PROBABILITIES)
    assert list(values) == ["focal", "ms_ssim", "iou"]
    np.testing.assert_allclose(sum(values.values()), expected, rtol=1e-6)


def test_losses_and_weights_can_be_chosen():
    shared = {"class_weights": [1.0, 2.0, 4.0]}
    region = {**shared, "include_background": False}
    parts = [
        losses.Focal(0.7, 1.0, **shared),
        losses.WeightedCrossEntropy(**shared),
        losses.Dice(**region),
        losses.Tversky(0.9, **region),
        losses.ClDice(**region),
    ]
    weights = [2.0, 0.5, 3.0, 0.1, 0.2]
    expected = sum(w * part(MASK, PROBABILITIES) for w, part in zip(weights, parts, strict=True))
    loss = losses.HybridLoss(parts, weights)
    np.testing.assert_allclose(loss(MASK, PROBABILITIES), expected, rtol=1e-5)
    expected = sum(part(MASK, PROBABILITIES) for part in parts)
    np.testing.assert_allclose(losses.HybridLoss(parts)(MASK, PROBABILITIES), expected, rtol=1e-5)


def test_options_are_those_of_the_papers_losses():
    loss = losses.HybridLoss(
        weights=[2.0, 1.0, 0.5],
        include_background=False,
        class_weights=[1.0, 2.0, 4.0],
        ignore_class=2,
        dtype="float64",
        reduction="sum",
    )
    shared = {"class_weights": [1.0, 2.0, 4.0], "ignore_class": 2, "dtype": "float64"}
    region = {**shared, "include_background": False, "reduction": "sum"}
    expected = (
        2.0 * np.sum(losses.Focal(**shared, reduction="none")(MASK, PROBABILITIES))
        + losses.MSSSIM(**region)(MASK, PROBABILITIES)
        + 0.5 * losses.IoU(**region)(MASK, PROBABILITIES)
    )
    np.testing.assert_allclose(loss(MASK, PROBABILITIES), expected, rtol=1e-6)
    assert (loss.dtype, loss.ignore_class, loss.reduced_to) == ("float64", 2, "sum")


def test_two_losses_of_one_name_are_told_apart():
    loss = losses.HybridLoss([losses.Dice(), losses.Dice(smooth=5.0), losses.IoU()])
    assert list(loss.term_values(MASK, PROBABILITIES)) == ["dice", "dice_1", "iou"]


def test_pixel_weights_reach_the_pixel_level_only():
    plain = losses.HybridLoss().term_values(MASK, PROBABILITIES)
    weighted = losses.HybridLoss().term_values(MASK, PROBABILITIES, WEIGHTS)
    np.testing.assert_allclose(
        weighted["focal"], losses.Focal(reduction="none")(MASK, PROBABILITIES, WEIGHTS)
    )
    assert (weighted["focal"].numpy() != plain["focal"].numpy()).all()
    for name in ("ms_ssim", "iou"):
        np.testing.assert_array_equal(weighted[name], plain[name])


def test_image_weights_scale_everything():
    per_image = losses.HybridLoss(reduction="none")(MASK, PROBABILITIES).numpy()
    weighted = losses.HybridLoss(reduction="none")(MASK, PROBABILITIES, [2.0, 0.0])
    np.testing.assert_allclose(weighted, [2 * per_image[0], 0.0])


def test_background_is_left_out_of_the_region_terms_only():
    values = losses.HybridLoss(include_background=False).term_values(MASK, PROBABILITIES)
    np.testing.assert_allclose(values["focal"], losses.Focal().per_image(MASK, PROBABILITIES))
    for name, loss in (("ms_ssim", losses.MSSSIM), ("iou", losses.IoU)):
        expected = loss(include_background=False).per_image(MASK, PROBABILITIES)
        np.testing.assert_allclose(values[name], expected)


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
    assert [weight for weight, _ in mixture.terms] == [0.5, 2.0, 0.5, 0.5, 0.5]
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(mixture))
    assert type(again) is losses.HybridLoss
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
        losses.HybridLoss([keras.losses.MeanSquaredError()])
    with pytest.raises(ValueError, match="weights one for each"):
        losses.HybridLoss([losses.Dice()], [1.0, 2.0])
    with pytest.raises(ValueError, match="3 losses and 1 weights"):
        losses.HybridLoss(weights=[1.0])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("from_logits", True),
        ("include_background", False),
        ("class_weights", np.ones(3)),
        ("reduction", "sum"),
        ("ignore_class", 0),
    ],
)
def test_options_beside_losses_are_refused(option, value):
    with pytest.raises(ValueError, match=f"{option}: losses that are given have their own"):
        losses.HybridLoss([losses.Dice()], **{option: value})
