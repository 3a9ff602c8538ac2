"""The hybrid loss is the weighted sum of its named terms."""

from __future__ import annotations

import numpy as np
import pytest

from keras_unet3p import losses

RNG = np.random.default_rng(0)
MASK = RNG.integers(0, 3, (2, 32, 32))
PROBABILITIES = RNG.dirichlet(np.ones(3), (2, 32, 32)).astype(np.float32)
WEIGHTS = RNG.uniform(0.5, 5.0, (2, 32, 32))


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


def test_terms_and_their_options_can_be_chosen():
    loss = losses.HybridLoss(
        focal=2.0,
        ms_ssim=0.0,
        iou=0.0,
        cross_entropy=0.5,
        dice=3.0,
        tversky=0.1,
        cl_dice=0.2,
        options={"focal": {"alpha": 0.7, "gamma": 1.0}, "tversky": {"alpha": 0.9}},
        include_background=False,
        class_weights=[1.0, 2.0, 4.0],
    )
    shared = {"class_weights": [1.0, 2.0, 4.0]}
    region = {**shared, "include_background": False}
    expected = (
        2.0 * losses.Focal(0.7, 1.0, **shared)(MASK, PROBABILITIES)
        + 0.5 * losses.WeightedCrossEntropy(**shared)(MASK, PROBABILITIES)
        + 3.0 * losses.Dice(**region)(MASK, PROBABILITIES)
        + 0.1 * losses.Tversky(0.9, **region)(MASK, PROBABILITIES)
        + 0.2 * losses.ClDice(**region)(MASK, PROBABILITIES)
    )
    np.testing.assert_allclose(loss(MASK, PROBABILITIES), expected, rtol=1e-5)


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


def test_refuses_mixtures_that_are_none():
    with pytest.raises(ValueError, match="one above 0"):
        losses.HybridLoss(0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="at least 0"):
        losses.HybridLoss(dice=-1.0)
    with pytest.raises(ValueError, match=r"unknown terms \['lovasz'\]"):
        losses.HybridLoss(options={"lovasz": {}})
    with pytest.raises(ValueError, match=r"'focal' holds \['from_logits'\]"):
        losses.HybridLoss(options={"focal": {"from_logits": True}})
