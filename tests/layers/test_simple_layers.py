"""The layers of a few lines: crops, padding, normalisation, upsampling, outputs."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import layers


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype("float32")


def dynamic(layer, *shapes):
    """The layer in a graph where batch, height and width are unknown."""
    specs = [tf.TensorSpec((None, None, None, shape[3])) for shape in shapes]
    return tf.function(lambda *x: layer(list(x) if len(x) > 1 else x[0]), input_signature=specs)


def test_center_crop():
    large, small = noise(2, 9, 8, 3), noise(2, 4, 6, 1)
    layer = layers.CenterCrop()
    expected = large[:, 2:6, 1:7]
    np.testing.assert_array_equal(layer([large, small]), expected)
    np.testing.assert_array_equal(dynamic(layer, large.shape, small.shape)(large, small), expected)


def test_pad_to_multiple_and_crop_to_undo_each_other():
    image = noise(1, 33, 64, 2)
    pad, crop = layers.PadToMultiple(32), layers.CropTo()
    padded = pad(image)
    assert padded.shape == (1, 64, 64, 2)
    assert not np.any(padded[:, 33:])
    np.testing.assert_array_equal(crop([padded, image]), image)
    graph = dynamic(pad, image.shape)(image)
    np.testing.assert_array_equal(graph, padded)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_bilinear_upsampling_is_that_of_keras(factor):
    x = noise(2, 5, 4, 3)
    expected = keras.layers.UpSampling2D(factor, interpolation="bilinear")(x)
    layer = layers.BilinearUpsampling2D(factor)
    np.testing.assert_allclose(layer(x), expected, atol=1e-6)
    np.testing.assert_allclose(dynamic(layer, x.shape)(x), expected, atol=1e-6)
    half = layers.BilinearUpsampling2D(factor, dtype="bfloat16")(tf.cast(x, tf.bfloat16))
    assert half.dtype == tf.bfloat16


def test_intensity_normalization():
    x = noise(1, 3, 3, 2)
    y = layers.IntensityNormalization([0.5, 0.25], [2.0, 4.0])(x)
    np.testing.assert_allclose(y, (x - [0.5, 0.25]) / [2.0, 4.0], rtol=1e-6)
    np.testing.assert_allclose(layers.IntensityNormalization(0.5, 2)(x), (x - 0.5) / 2, rtol=1e-6)
    with pytest.raises(ValueError, match="std must be positive"):
        layers.IntensityNormalization(0.0, 0.0)
    with pytest.raises(ValueError, match="mean has 3 values"):
        layers.IntensityNormalization([1, 2, 3], 1.0)(x)


def test_intensity_normalization_keeps_what_half_precision_would_lose():
    # 16-bit intensities that differ by one step are different numbers after normalisation.
    x = np.array([30000, 30001], "float32").reshape(1, 1, 2, 1) / 65535
    layer = layers.IntensityNormalization(30000 / 65535, 1 / 65535, dtype="mixed_float16")
    np.testing.assert_allclose(layer(x)[0, 0, :, 0], [0, 1], atol=0.01)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_what_stands_before_a_normalization_leaves_the_image_as_fine_as_it_is(policy):
    x = (30000 + np.arange(64, dtype="float32").reshape(1, 8, 8, 1)) / 65535
    for layer in (layers.InputSize(8, dtype=policy), layers.PadToMultiple(8, dtype=policy)):
        for found in (layer(x), dynamic(layer, x.shape)(x)):
            assert found.dtype == tf.float32
            np.testing.assert_array_equal(found, x)
        assert tf.as_dtype(layer(keras.Input((8, 8, 1))).dtype) == tf.float32
    # Grey that lies about caffe's mean: half precision rounds the difference, not the image.
    grey = np.float32(103.939 / 255) + np.array([1e-5, 2e-5], "float32").reshape(1, 1, 2, 1)
    found = tf.cast(layers.ImageNetInput("caffe", dtype=policy)(grey), tf.float32)[0, 0, :, 0]
    np.testing.assert_allclose(found, [255e-5, 510e-5], rtol=0.05)


@pytest.mark.parametrize(
    ("mode", "module", "scale"),
    [("caffe", "resnet", 255), ("tf", "mobilenet_v2", 255), ("torch", "densenet", 255)],
)
def test_image_net_input_is_the_networks_own(mode, module, scale):
    image = noise(1, 4, 5, 3)
    expected = getattr(keras.applications, module).preprocess_input(image * scale)
    np.testing.assert_allclose(layers.ImageNetInput(mode)(image), expected, atol=1e-4)


def test_image_net_input_repeats_grey():
    grey = noise(1, 4, 5, 1)
    np.testing.assert_array_equal(
        layers.ImageNetInput("torch")(grey),
        layers.ImageNetInput("torch")(np.repeat(grey, 3, axis=-1)),
    )
    assert layers.ImageNetInput(None)(grey).shape == (1, 4, 5, 3)
    with pytest.raises(ValueError, match="mode"):
        layers.ImageNetInput("imagenet")


@pytest.mark.parametrize("activation", ["sigmoid", "softmax", None])
def test_segmentation_output(activation):
    x = noise(1, 2, 2, 3) * 4
    expected = {
        "sigmoid": 1 / (1 + np.exp(-x)),
        "softmax": np.exp(x) / np.exp(x).sum(-1, keepdims=True),
        None: x,
    }[activation]
    np.testing.assert_allclose(layers.SegmentationOutput(activation)(x), expected, rtol=1e-5)
    half = layers.SegmentationOutput(activation)(tf.cast(x, tf.float16))
    assert half.dtype == tf.float32


def test_segmentation_average_averages_probabilities():
    a, b = noise(1, 2, 2, 1) * 8 - 4, noise(1, 2, 2, 1, seed=1) * 8 - 4
    expected = (1 / (1 + np.exp(-a)) + 1 / (1 + np.exp(-b))) / 2
    np.testing.assert_allclose(layers.SegmentationAverage("sigmoid")([a, b]), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: layers.SegmentationOutput("relu"), "activation"),
        (lambda: layers.SegmentationOutput("sigmoid", loss_weight=-1), "loss_weight"),
        (lambda: layers.PresenceGate("relu"), "activation"),
        (lambda: layers.PresenceGate(training_gate="hard"), "training_gate"),
        (lambda: layers.PadToMultiple(0), "multiple"),
        (lambda: layers.BilinearUpsampling2D(0), "factor"),
    ],
)
def test_refuses(make, word):
    with pytest.raises(ValueError, match=word):
        make()


CONFIGURED = [
    layers.BatchNormalization(momentum=0.9, epsilon=0.1),
    layers.BilinearUpsampling2D(3),
    layers.CenterCrop(),
    layers.CropTo(),
    layers.Dropout(0.3, seed=1),
    layers.FoldedBatchNormalization(),
    layers.ImageNetInput("tf"),
    layers.InputSize(16, offset=12, minimum=188, margin=92),
    layers.IntensityNormalization([0.1, 0.2], 3.0),
    layers.IntensityNormalization(0.1, 3.0, "dtype", [{"dtype": "uint8", "high": [9.0, 12.0]}]),
    layers.PadToMultiple(32),
    layers.PresenceGate("softmax", "soft"),
    layers.SegmentationAverage("softmax", loss_weight=0.5),
    layers.EnsembleAverage("softmax"),
    layers.SegmentationOutput(None, loss_weight=0.25),
    layers.UpsampleConv2D(4, 2, method="plain", use_bias=False, kernel_regularizer="l2"),
]


@pytest.mark.parametrize("layer", CONFIGURED, ids=lambda layer: type(layer).__name__)
def test_config_survives(layer):
    assert type(layer).__name__ in layers.__all__
    saved = keras.saving.serialize_keras_object(layer)
    loaded = keras.saving.deserialize_keras_object(saved)
    assert type(loaded) is type(layer)
    assert loaded.get_config() == layer.get_config()


def test_every_layer_is_in_the_table():
    assert {type(layer).__name__ for layer in CONFIGURED} == set(layers.__all__)
