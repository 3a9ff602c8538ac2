"""Batch normalisation over all devices: on one device it is the plain one.

tests/training/test_several_workers.py compares two devices with one.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_unet3p import compat, models
from keras_unet3p.config import ARCHITECTURES

OPTIONS = {
    "unet": {"filters": 2, "depth": 1, "batch_norm": True, "dropout": 0},
    "unet3plus": {"filters": 2, "depth": 1},
    "unetplusplus": {"filters": 2, "depth": 1},
    "attention_unet": {"filters": 2, "depth": 1},
    "fcn": {"filters": 2, "encoder": "plain", "dropout": 0},
    "encoder": {"encoder": "mobilenet_v2", "filters": 2, "batch_norm": "encoder", "dropout": 0},
}


def normalizations(model) -> list:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


@pytest.mark.parametrize("name", OPTIONS)
def test_on_one_device_it_is_the_plain_one(name, tmp_path):
    build = models.ARCHITECTURES["unet" if name == "encoder" else name]
    options = OPTIONS[name]
    plain = build((32, 32, 1), **options)
    model = build((32, 32, 1), **options, batch_norm_synchronized=True)
    model.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    assert model.options["batch_norm_synchronized"]
    found = normalizations(model)
    if name == "encoder":
        found += normalizations(model.get_layer("encoder"))
    assert found
    assert all(layer.synchronized for layer in found)
    model.set_weights(plain.get_weights())
    image = np.random.default_rng(0).normal(size=(2, 32, 32, 1)).astype(np.float32)
    results = []
    for one in (plain, model):
        output = one(image, training=True)
        results.append(output["mask"] if isinstance(output, dict) else output)
    np.testing.assert_allclose(results[1], results[0], atol=1e-4)
    for ours, theirs, weight in zip(
        model.get_weights(), plain.get_weights(), model.weights, strict=True
    ):
        # The plain one of Keras 2, which is fused, takes n / (n - 1) of a batch's variance, where n
        # is 2 x 2 x 2 or more here: 8 / 7 of it at most.
        unbiased = not compat.KERAS_3 and "moving_variance" in weight.name
        np.testing.assert_allclose(ours, theirs, rtol=1 / 7 if unbiased else 1e-4, atol=1e-5)


def test_every_architecture_that_normalises_has_the_option():
    for name, architecture in ARCHITECTURES.items():
        assert name in OPTIONS
        assert "batch_norm_synchronized" in architecture.options
