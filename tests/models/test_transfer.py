"""Fine-tuning: weights are taken over by layer name and shape, and layers are frozen."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_unet3p import losses, models

IMAGES = np.random.default_rng(0).random((2, 16, 16, 1)).astype("float32")
SMALL = {"filters": 2, "depth": 1}


def changed(model):
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.1, 0.9, w.shape) for w in model.get_weights()])
    return model


def test_the_same_network_is_taken_over_altogether():
    source = changed(models.unet((None, None, 1), batch_norm=True, prefix="theirs_", **SMALL))
    model = models.unet((None, None, 1), batch_norm=True, **SMALL)
    taken = models.take_weights(model, source)
    assert not taken.new
    assert not taken.averaged
    np.testing.assert_array_equal(
        model.predict(IMAGES, verbose=0), source.predict(IMAGES, verbose=0)
    )


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_other_classes_leave_the_heads_new_and_other_channels_are_averaged(name):
    options = {"filters": 2, "encoder": "plain"} if name == "fcn" else SMALL
    source = changed(models.ARCHITECTURES[name]((None, None, 1), 1, **options))
    model = models.ARCHITECTURES[name]((None, None, 3), 4, **options)
    before = {layer.name: layer.get_weights() for layer in model.layers}
    taken = models.take_weights(model, source)
    assert taken.averaged == ("e1_1_conv",)
    assert all("mask" in layer or "scores" in layer for layer in taken.new)
    assert str(taken).endswith("; new: head (4 classes)")
    for layer in taken.new:
        for one, other in zip(model.get_layer(layer).get_weights(), before[layer], strict=True):
            np.testing.assert_array_equal(one, other)
    # A grey image in three channels is to the first layer what it was in one.
    grey = keras.Model(source.input, source.features["e1"])(IMAGES)
    colour = keras.Model(model.input, model.features["e1"])(np.repeat(IMAGES, 3, axis=-1))
    np.testing.assert_allclose(grey, colour, atol=1e-5)


def test_further_heads_are_new_and_missing_ones_are_left():
    source = changed(models.unet3plus((None, None, 1), 1, **SMALL))
    model = models.unet3plus(
        (None, None, 1), 1, deep_supervision=True, classification_guided=True, **SMALL
    )
    taken = models.take_weights(model, source)
    assert set(taken.new) == {"mask_e2_conv", "presence_conv"}
    assert "mask_conv" in taken.taken
    assert not models.take_weights(source, model).new


def test_another_network_is_refused():
    with pytest.raises(ValueError, match="no layer of 'unet' has the name and the shape"):
        models.take_weights(models.unet(filters=3, depth=1), models.unet(filters=2, depth=1))


def test_an_encoder_of_keras_is_one_layer():
    source = models.unet((None, None, 3), encoder="mobilenet_v2", filters=2)
    model = models.unet((None, None, 1), encoder="mobilenet_v2", filters=2)
    taken = models.take_weights(model, changed(source))
    assert "encoder" in taken.taken
    frozen = models.freeze_layers(model, ["encoder"])
    assert "encoder" in frozen
    assert not model.get_layer("encoder").trainable_weights


def trained(model):
    model.compile("sgd", loss=losses.Dice())
    model.fit(IMAGES, np.ones((2, 16, 16)), epochs=1, verbose=0)
    return model


def test_frozen_layers_stay_and_their_batch_normalisation_too(tmp_path):
    model = changed(models.unet((None, None, 1), batch_norm=True, **SMALL))
    frozen = models.freeze_layers(model, ["encoder", "d1_2"])
    assert frozen == [name for name in frozen if name.startswith(("e", "d1_2"))]
    assert {"e1_1_bn", "e2_2_conv", "d1_2_conv"} <= set(frozen)
    before = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    trained(model).save(tmp_path / "model.keras")
    # A killed run goes on with what it froze.
    trained(again := keras.models.load_model(tmp_path / "model.keras"))
    for found in (model, again):
        for name, weights in before.items():
            same = [
                np.array_equal(one, other)
                for one, other in zip(found.get_layer(name).get_weights(), weights, strict=True)
            ]
            assert all(same) == (name in frozen), name


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["x9"], "no layer's name begins with 'x9'"),
        (["encoder", "d", "m"], "nothing to be trained"),
    ],
)
def test_what_cannot_be_frozen_is_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        models.freeze_layers(models.unet(**SMALL), parts)
