"""IoU, Dice and Tversky against their formulas."""

from __future__ import annotations

import numpy as np
import pytest

from keras_unet3p.losses import Dice, IoU, Tversky

RNG = np.random.default_rng(0)
MASK = RNG.integers(0, 3, (4, 11, 13))
PROBABILITIES = RNG.dirichlet(np.ones(3), (4, 11, 13))


def formula(name, g, p):
    if name == "iou":
        return 1 - (p * g).sum() / (p + g - p * g).sum()
    if name == "dice":
        return 1 - 2 * (p * g).sum() / (p + g).sum()
    hits = (p * g).sum()
    return 1 - hits / (hits + 0.3 * (p * (1 - g)).sum() + 0.7 * ((1 - p) * g).sum())


LOSSES = {"iou": IoU, "dice": Dice, "tversky": Tversky}
every_overlap = pytest.mark.parametrize("name", LOSSES)


@every_overlap
def test_formula_per_image_and_class(name):
    expected = np.array(
        [
            [formula(name, MASK[i] == k, PROBABILITIES[i, ..., k]) for k in range(3)]
            for i in range(4)
        ]
    )
    make = LOSSES[name]
    np.testing.assert_allclose(make().per_class(MASK, PROBABILITIES), expected, rtol=1e-5)
    np.testing.assert_allclose(make()(MASK, PROBABILITIES), expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(
        make(include_background=False)(MASK, PROBABILITIES), expected[:, 1:].mean(), rtol=1e-5
    )
    np.testing.assert_allclose(
        make(class_weights=[1, 2, 5])(MASK, PROBABILITIES),
        (expected @ [1, 2, 5]).mean() / 8,
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        make(class_weights=[1, 2, 5], include_background=False)(MASK, PROBABILITIES),
        (expected[:, 1:] @ [2, 5]).mean() / 7,
        rtol=1e-5,
    )


@every_overlap
def test_one_channel_has_no_background_to_leave_out(name):
    make = LOSSES[name]
    p = PROBABILITIES[..., :1]
    assert make(include_background=False)(MASK == 0, p) == make()(MASK == 0, p)


@every_overlap
def test_empty_masks(name):
    empty = np.zeros((1, 16, 16))
    loss = LOSSES[name]()
    assert loss(empty, empty[..., None]) == 0.0
    assert float(loss(empty, np.ones((1, 16, 16, 1)))) == pytest.approx(1.0, abs=1e-4)
    smoothed = LOSSES[name](smooth=10.0)
    values = [float(smoothed(empty, np.full((1, 16, 16, 1), p))) for p in (0, 1e-3, 1e-2, 0.1)]
    assert values == sorted(values)
    assert values[1] < 0.05
    # ... and smoothing leaves masks with a pixel alone.
    np.testing.assert_allclose(
        smoothed(MASK == 1, PROBABILITIES[..., 1:2]), loss(MASK == 1, PROBABILITIES[..., 1:2])
    )


@every_overlap
def test_pixel_weights_count_only_where_asked_for(name):
    weights = np.ones((4, 11, 13))
    weights[:, :, 7:] = 0
    make = LOSSES[name]
    plain = make()(MASK, PROBABILITIES)
    assert make()(MASK, PROBABILITIES, weights) == plain
    np.testing.assert_allclose(
        make(use_pixel_weights=True)(MASK, PROBABILITIES, weights),
        make()(MASK[:, :, :7], PROBABILITIES[:, :, :7]),
        rtol=1e-5,
    )


def test_tversky_contains_dice_and_iou():
    for weight, other in ((0.5, Dice), (1.0, IoU)):
        np.testing.assert_allclose(
            Tversky(weight, weight)(MASK, PROBABILITIES), other()(MASK, PROBABILITIES), rtol=1e-6
        )


def test_refuses_arguments_out_of_range():
    with pytest.raises(ValueError, match="smooth must be above 0"):
        Dice(smooth=0.0)
    with pytest.raises(ValueError, match="alpha and beta must be above 0"):
        Tversky(alpha=0.0)
