"""U-Net against an independent forward pass, and its geometry."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import models
from tests.models import references


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype("float32")


def with_biases(model, seed=0):
    """Fresh biases are zero, and a zero tests nothing."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [w if w.ndim > 1 else rng.normal(0, 0.1, w.shape) for w in model.get_weights()]
    )
    return model


def test_unpadded_network_equals_the_reference():
    model = with_biases(models.unet((None, None, 2), 3, None, filters=2, padding="valid"))
    assert model.margin == 92
    image = noise(1, 204, 204, 2)
    weights = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    expected = references.unet(np.float64(image[0]).transpose(2, 0, 1), weights)
    found = model(image)[0].numpy()
    assert found.shape == (20, 20, 3)
    np.testing.assert_allclose(found, expected.transpose(1, 2, 0), atol=1e-5)


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_sizes_of_unpadded_networks(upsampling, depth):
    model = models.unet(filters=1, depth=depth, padding="valid", upsampling=upsampling)
    smallest = model.minimum_size
    step = 2**depth
    for size in (smallest, smallest + step):
        assert model(noise(1, size, size, 1)).shape[1] == size - 2 * model.margin
    assert smallest - step - 2 * model.margin <= 0
    with pytest.raises(ValueError, match=f"{smallest} or {smallest + step} would do"):
        model(noise(1, smallest + 1, smallest, 1))
    if depth == 4 and upsampling == "transposed":
        assert (smallest, model.size_divisor, model.size_offset) == (188, 16, 12)
        assert smallest - 2 * model.margin == 4


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_a_tile_gives_what_the_whole_image_gives(upsampling):
    """No output pixel of an unpadded network sees the tile's border: tiles fit without a seam."""
    model = with_biases(models.unet(filters=2, depth=2, padding="valid", upsampling=upsampling))
    size, step = model.minimum_size + 4, model.size_divisor
    image = noise(1, size + 3 * step, size + 5 * step, 1)
    whole = model(image)
    tile = model(image[:, 2 * step : 2 * step + size, step : step + size])
    inner = whole[:, 2 * step :, step:][:, : tile.shape[1], : tile.shape[2]]
    np.testing.assert_allclose(tile, inner, atol=1e-5)


def test_the_receptive_field_is_the_margin():
    model = models.unet(filters=2, depth=2, padding="valid", classifier_activation=None)
    # No unit is dead or saturated, so that the gradient reaches whatever the pixel sees.
    model.set_weights([np.abs(w) + 0.01 for w in model.get_weights()])
    size = model.minimum_size + 8
    image = tf.constant(noise(1, size, size, 1))
    with tf.GradientTape() as tape:
        tape.watch(image)
        pixel = model(image)[0, 0, 0, 0]
    support = np.nonzero(tape.gradient(pixel, image)[0, :, :, 0])
    # The first output pixel sees the input from 0 on, up to `margin` beyond its own place.
    assert max(axis.max() for axis in support) <= 2 * model.margin + model.size_divisor - 1
    assert max(axis.max() for axis in support) >= model.margin


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"padding": "full"}, "padding"),
        ({"upsampling": "nearest"}, "upsampling"),
        ({"batch_norm": "decoder"}, "batch_norm"),
        ({"up_kernel_size": 3}, "up_kernel_size"),
        ({"padding": "valid", "up_kernel_size": 4}, "up_kernel_size"),
        ({"padding": "valid", "head_kernel_size": 3}, "head_kernel_size"),
        ({"padding": "valid", "encoder": "vgg16"}, "padding"),
        ({"filters": (4,)}, "filters"),
        ({"filters": 2.5}, "filters"),
        ({"filters": "64"}, "filters"),
        ({"filters": (2, 2.5)}, "filters"),
        ({"filters": (2, 3, 4), "depth": 4}, "3 levels have 2 poolings .*depth=4"),
        ({"depth": 0}, "depth"),
        ({"depth": 2.5}, "depth"),
        ({"num_classes": 0}, "num_classes"),
        ({"num_classes": 1, "classifier_activation": "softmax"}, "softmax over one class"),
        ({"classifier_activation": "relu"}, "classifier_activation"),
        ({"input_shape": (None, None, None)}, "input_shape"),
        ({"input_shape": (30, 32, 1)}, "16 or 32 would do"),
        ({"normalization": 0.5}, r"normalization: expected \(mean, std\)"),
        ({"normalization": (0.5, None)}, "normalization: std: expected a finite number"),
        ({"normalization": (float("nan"), 1.0)}, "normalization: mean: expected a finite number"),
        ({"normalization": ("a", 1.0)}, "normalization: mean: expected a finite number"),
        ({"normalization": ([[0.5]], 1.0)}, "normalization: mean: expected a finite number"),
        ({"normalization": ((), ())}, "normalization: mean: expected a finite number"),
        ({"normalization": (0.5, -1.0)}, "normalization: std must be positive"),
        ({"encoder": "vgg"}, "encoder"),
        ({"encoder_weights": "imagenet"}, "encoder_weights"),
    ],
)
def test_refuses(arguments, word):
    with pytest.raises(ValueError, match=word):
        models.unet(**{"filters": 2, **arguments})


def test_normalization_is_inside():
    class Constants:
        mean = (0.25,)
        std = (0.5,)

    image = noise(1, 16, 16, 1)
    plain = models.unet(filters=2, depth=1)
    for normalization in (
        (0.25, 0.5),
        (np.array(0.25), np.array(0.5)),
        (np.array([0.25]), np.float32(0.5)),
        np.array([0.25, 0.5]),
        Constants(),
        {"mean": [0.25], "std": [0.5]},
    ):
        model = models.unet(filters=2, depth=1, normalization=normalization)
        model.set_weights(plain.get_weights())
        np.testing.assert_allclose(model(image), plain((image - 0.25) / 0.5), atol=1e-6)


def test_channels_of_every_level_and_their_depth_may_both_be_given():
    found, expected = models.unet(filters=(2, 3, 4), depth=2), models.unet(filters=(2, 3, 4))
    assert [w.shape for w in found.weights] == [w.shape for w in expected.weights]


def test_numbers_of_numpy_will_do(tmp_path):
    numbers = {"num_classes": np.int64(2), "filters": np.int32(2), "depth": np.int64(1)}
    found, expected = models.unet(**numbers), models.unet(num_classes=2, filters=2, depth=1)
    assert [w.shape for w in found.weights] == [w.shape for w in expected.weights]
    found.save(tmp_path / "model.keras")
