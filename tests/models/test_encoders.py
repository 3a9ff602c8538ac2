"""Every encoder gives five maps at strides 1 to 16, and every decoder takes every encoder."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_unet3p import compat, models

LEVELS = (4, 4, 4, 4, 4)
LIGHT = "mobilenet_v2"
CHANNELS = {
    "plain": (4, 4, 4, 4, 4),
    "vgg16": (64, 128, 256, 512, 512),
    "vgg19": (64, 128, 256, 512, 512),
    "resnet50": (4, 64, 256, 512, 1024),
    "resnet101": (4, 64, 256, 512, 1024),
    "efficientnet_v2_s": (4, 24, 48, 64, 160),
    "efficientnet_v2_b0": (4, 16, 32, 48, 112),
    "mobilenet_v2": (4, 96, 144, 192, 576),
    "convnext_tiny": (4, 4, 96, 192, 384),
}


def test_the_table_is_complete():
    assert set(CHANNELS) == set(models.ENCODERS)


@pytest.mark.parametrize("encoder", models.ENCODERS)
def test_strides_and_channels(encoder):
    image = keras.Input((64, 96, 3))
    tensors = models.encoder_tensors(image, encoder, levels=LEVELS)
    for stage, channels in enumerate(CHANNELS[encoder], 1):
        stride = 2 ** (stage - 1)
        expected = (None, 64 // stride, 96 // stride, channels)
        assert tuple(tensors[f"e{stage}"].shape) == expected


@pytest.mark.parametrize(
    "build", [models.unet, models.attention_unet, models.unetplusplus, models.unet3plus]
)
def test_every_decoder_speaks_to_the_pyramid(build):
    model = build((None, None, 1), 2, filters=LEVELS, encoder=LIGHT)
    assert model(np.zeros((1, 32, 48, 1), "float32")).shape == (1, 32, 48, 2)


def test_fcn_takes_an_encoder():
    model = models.fcn((None, None, 4), 2, filters=LEVELS, encoder=LIGHT, dense_filters=2)
    assert model(np.zeros((1, 33, 20, 4), "float32")).shape == (1, 33, 20, 2)


@pytest.mark.parametrize("encoder", ["convnext_tiny", "efficientnet_v2_b0"])
def test_saved_and_loaded(encoder, tmp_path):
    model = models.unet(filters=LEVELS, encoder=encoder, encoder_trainable=False)
    image = np.random.default_rng(0).random((1, 32, 32, 1)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(image), model(image), atol=1e-5)
    assert len(loaded.trainable_weights) == len(model.trainable_weights)
    assert not loaded.get_layer("encoder").trainable
    states, expected = (compat.random_states(m.get_layer("encoder")) for m in (loaded, model))
    for features in (model.features, loaded.features):
        found = [features[f"e{stage}"].shape[-1] for stage in range(1, 6)]
        assert found == [*CHANNELS[encoder]]
    assert states or encoder == "convnext_tiny"  # whose numbers have no state in Keras 2
    for state, saved in zip(states, expected, strict=True):
        np.testing.assert_array_equal(state.numpy(), saved.numpy())


def test_weights_of_a_file_and_freezing(tmp_path):
    """The path that fetched weights take, with a file made on the spot."""
    keras.utils.set_random_seed(1)
    ready = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )
    ready.save_weights(tmp_path / "mobilenet.weights.h5")
    model = models.unet(
        (None, None, 1),
        filters=LEVELS,
        encoder=LIGHT,
        encoder_weights=tmp_path / "mobilenet.weights.h5",
        encoder_trainable=False,
    )
    image = np.random.default_rng(0).random((2, 32, 32, 1)).astype("float32")
    features = keras.Model(ready.input, ready.get_layer("block_13_expand_relu").output)
    scaled = keras.applications.mobilenet_v2.preprocess_input(np.repeat(image, 3, axis=-1) * 255)
    encoder = model.get_layer("encoder")
    np.testing.assert_allclose(encoder(scaled)[-1], features(scaled), atol=1e-5)
    # Grey is repeated and normalised inside: nobody does it before.
    deepest = keras.Model(model.input, model.get_layer("encoder_input").output)
    np.testing.assert_allclose(deepest(image), scaled, atol=1e-5)

    before = encoder.get_weights()
    model.compile("sgd", "binary_crossentropy")
    model.fit(image, np.ones((2, 32, 32)), verbose=0)
    for one, other in zip(encoder.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not encoder.trainable_weights


def test_own_normalization_replaces_the_networks():
    model = models.unet(filters=LEVELS, encoder=LIGHT, normalization=(0.25, 0.5))
    image = np.random.default_rng(0).random((1, 32, 32, 1)).astype("float32")
    entry = keras.Model(model.input, model.get_layer("encoder_input").output)
    expected = np.repeat((image - 0.25) / 0.5, 3, axis=-1)
    np.testing.assert_allclose(entry(image), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"filters": 4, "depth": 3}, "five levels"),
        ({"normalization": (0.5, 0.5), "encoder_weights": "some.h5"}, "normalization"),
    ],
)
def test_refuses(options, word):
    with pytest.raises(ValueError, match=word):
        models.unet(encoder=LIGHT, **{"filters": LEVELS, **options})
