"""Centreline Dice: skeletons, and what it sees that Dice does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import skeletonize

from keras_unet3p.losses import ClDice, Dice
from keras_unet3p.losses.cl_dice import soft_skeleton


def skeleton_in_numpy(image, iterations, rest=True):
    cross = ndimage.generate_binary_structure(2, 1)

    def opened(values):
        eroded = ndimage.grey_erosion(values, footprint=cross, mode="constant", cval=np.inf)
        return ndimage.grey_dilation(eroded, size=3, mode="constant", cval=-np.inf)

    skeleton = np.maximum(image - opened(image), 0)
    for _ in range(iterations):
        image = ndimage.grey_erosion(image, footprint=cross, mode="constant", cval=np.inf)
        removed = np.maximum(image - opened(image), 0)
        skeleton = skeleton + removed * (1 - skeleton)
    image = ndimage.grey_erosion(image, footprint=cross, mode="constant", cval=np.inf)
    return skeleton + (np.maximum(2 * image - 1, 0) * (1 - skeleton) if rest else 0)


@pytest.mark.parametrize("iterations", [1, 3])
def test_soft_skeleton_against_scipy(iterations):
    image = np.random.default_rng(0).random((1, 20, 25, 2)).astype(np.float32)
    ours = soft_skeleton(image, iterations).numpy()
    for channel in range(2):
        np.testing.assert_allclose(
            ours[0, ..., channel], skeleton_in_numpy(image[0, ..., channel], iterations), atol=1e-6
        )


def test_formula_on_random_probabilities():
    rng = np.random.default_rng(0)
    mask, p = rng.integers(0, 2, (20, 25)).astype(float), rng.random((20, 25))
    skeleton_p, skeleton_g = skeleton_in_numpy(p, 3), skeleton_in_numpy(mask, 3)
    precision = ((skeleton_p * mask).sum() + 1) / (skeleton_p.sum() + 1)
    sensitivity = ((skeleton_g * p).sum() + 1) / (skeleton_g.sum() + 1)
    centreline = 1 - 2 * precision * sensitivity / (precision + sensitivity)
    dice = 1 - 2 * (p * mask).sum() / (p + mask).sum()
    for alpha in (0.0, 0.5, 1.0):
        value = ClDice(alpha)(mask[None], p[None, ..., None])
        np.testing.assert_allclose(value, (1 - alpha) * dice + alpha * centreline, rtol=1e-5)


def published_loss(mask, p, iterations):
    """clDice of the authors' code (soft_cldice, smooth = 1), whose skeletons have no rest."""
    skeleton_p, skeleton_g = (skeleton_in_numpy(a, iterations, rest=False) for a in (p, mask))
    precision = ((skeleton_p * mask).sum() + 1) / (skeleton_p.sum() + 1)
    sensitivity = ((skeleton_g * p).sum() + 1) / (skeleton_g.sum() + 1)
    return 1 - 2 * precision * sensitivity / (precision + sensitivity)


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.9), (0.02, 0.98), (0.4, 0.6), (0.0, 1.0)])
def test_equals_the_published_code_on_thin_structures_with_soft_backgrounds(low, high):
    mask = np.zeros((48, 64))
    mask[10:13, 4:60] = mask[20:44, 30:35] = 1
    broken = mask.copy()
    broken[10:13, 20:24] = 0
    losses = []
    for shape in (mask, broken):
        p = low + (high - low) * shape
        losses.append(float(ClDice(1.0)(mask[None], p[None, ..., None])))
        assert losses[-1] == pytest.approx(published_loss(mask, p, 3), abs=1e-5)
    assert losses[1] > losses[0] + 0.005  # a gap is seen


def test_skeleton_of_a_bar_runs_along_its_middle():
    bar = np.zeros((21, 60), np.float32)
    bar[7:14, 5:55] = 1
    skeleton = soft_skeleton(bar[None, ..., None], 5).numpy()[0, ..., 0]
    middle = skeletonize(bar > 0)
    assert skeleton[middle].mean() > 0.9
    assert skeleton.sum() < 0.3 * bar.sum()


def test_a_gap_costs_more_than_as_many_pixels_at_the_rim():
    line = np.zeros((1, 30, 60), np.float32)
    line[:, 13:16, :] = 1
    gap, thinner = line.copy(), line.copy()
    gap[:, 13:16, 28:32] = 0
    thinner[:, 13, 20:32] = 0
    loss, dice = ClDice(1.0), Dice()
    assert dice(line, gap[..., None]) == dice(line, thinner[..., None])
    assert loss(line, gap[..., None]) > 2 * loss(line, thinner[..., None])


def test_foreground_everywhere_is_no_solution():
    mask = np.zeros((1, 32, 32))
    mask[:, 8:20, 8:20] = 1
    assert ClDice(1.0)(mask, np.ones((1, 32, 32, 1))) > 0.5


@pytest.mark.parametrize("wrong", [{"alpha": 1.1}, {"iterations": 0}, {"smooth": 0.0}])
def test_refuses_arguments_out_of_range(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        ClDice(**wrong)
