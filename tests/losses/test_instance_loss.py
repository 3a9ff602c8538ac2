"""The loss of foreground and core."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_unet3p import data, losses, metrics, models
from keras_unet3p.targets import instance_maps


@pytest.fixture
def ids():
    return np.stack([data.generate_cells(32, seed=seed)[1] for seed in range(3)])


def test_ids_and_their_maps_cost_the_same(ids):
    prediction = np.random.default_rng(0).uniform(0.05, 0.95, (*ids.shape, 2)).astype(np.float32)
    weights = np.random.default_rng(1).uniform(0, 2, ids.shape)
    loss = losses.InstanceLoss()
    maps = instance_maps(ids).numpy()
    for given in ((), (weights,)):
        value = float(loss(ids, prediction, *given))
        assert value == float(loss(ids[..., None], prediction, *given))
        assert value == float(loss(maps, prediction, *given))
        plain = losses.WeightedCrossEntropy(multi_label=True)
        assert value == float(plain(maps, prediction, *given))
    assert float(loss(maps, maps)) < float(loss(maps, prediction))


def test_pixels_without_a_label_have_no_say(ids):
    ids = ids.astype(np.int32)
    ids[:, :8] = -1
    loss = losses.InstanceLoss(ignore_class=-1)
    prediction = np.full((*ids.shape, 2), 0.3, np.float32)
    other = prediction.copy()
    other[:, :8] = 0.9
    assert float(loss(ids, prediction)) == float(loss(ids, other))


def test_it_is_saved_and_loaded():
    loss = losses.InstanceLoss(class_weights=[1.0, 2.0], ignore_class=255, from_logits=True)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(again, losses.InstanceLoss)
    assert again.get_config() == loss.get_config()
    assert again.multi_label


def test_a_network_with_side_outputs_learns_from_ids(tmp_path, ids):
    keras.utils.set_random_seed(1)
    images = np.stack([data.generate_cells(32, seed=seed)[0] for seed in range(3)])[..., None] / 255
    model = models.unet3plus((32, 32, 1), 2, "sigmoid", filters=4, depth=2, deep_supervision=True)
    model.compile(keras.optimizers.Adam(0.01), loss=losses.InstanceLoss())
    history = model.fit(images, ids, batch_size=3, epochs=8, verbose=0).history["loss"]
    assert history[-1] < 0.8 * history[0]
    model.save(tmp_path / "cells.keras")
    again = keras.models.load_model(tmp_path / "cells.keras")
    assert again.evaluate(images, ids, verbose=0) == pytest.approx(
        model.evaluate(images, ids, verbose=0), rel=1e-5
    )


def test_maps_take_the_metrics_too(ids):
    model = models.unet((32, 32, 1), 2, "sigmoid", filters=2, depth=1)
    model.compile("sgd", loss=losses.InstanceLoss(), metrics=[metrics.Dice(multi_label=True)])
    images = np.zeros((3, 32, 32, 1), np.float32)
    found = model.evaluate(images, instance_maps(ids), verbose=0, return_dict=True)
    assert 0 <= found["dice"] <= 1


def test_a_softmax_is_refused():
    model = models.unet((32, 32, 1), 2, filters=2, depth=1)
    with pytest.raises(ValueError, match="InstanceLoss"):
        model.compile("sgd", loss=losses.InstanceLoss())
