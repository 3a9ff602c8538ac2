"""What a configuration's network is compiled with."""

import numpy as np
import pytest

from keras_unet3p import losses
from keras_unet3p.config import TrainingConfig
from keras_unet3p.workflow.networks import build_model


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5*dice+focal", lambda: 0.5 * losses.Dice() + losses.Focal()),
        ("2*iou", lambda: 2 * losses.IoU()),
        ("hybrid+dice", lambda: losses.HybridLoss() + losses.Dice()),
        ("auto", losses.HybridLoss),
        ("focal", losses.Focal),
    ],
)
def test_the_loss_is_the_sum_that_is_named(text, expected):
    config = TrainingConfig(architecture="unet", filters=2, depth=1, patch_size=32, loss=text)
    model = build_model(config, 1, 1, None)
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 2, (2, 32, 32, 1)).astype("float32")
    prediction = rng.uniform(0.01, 0.99, mask.shape).astype("float32")
    assert float(model.loss(mask, prediction)) == pytest.approx(float(expected()(mask, prediction)))


def test_a_sum_leaves_out_unlabelled_pixels():
    config = TrainingConfig(architecture="unet", filters=2, depth=1, patch_size=32, loss="dice+iou")
    assert build_model(config, 1, 1, None, ignore_class=-1).loss.ignore_class == -1
