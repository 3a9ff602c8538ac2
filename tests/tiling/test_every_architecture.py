"""Every architecture through every tiler, at sizes off its grid, against the image in one piece."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

from keras_unet3p import models
from keras_unet3p.graphs import network_facts
from keras_unet3p.tiling import (
    StreamingPredictor,
    model_geometry,
    predict_image,
)
from tests.tiling.networks import trained_statistics

SIZE = (201, 333)
CLASSES = 2
# Name, how it is built, side of the tiles.
ARCHITECTURES = {
    "unet": (models.unet, {"filters": 2, "depth": 2}, 96),
    "unet unpadded": (models.unet, {"filters": 2, "depth": 2, "padding": "valid"}, 125),
    "attention_unet": (models.attention_unet, {"filters": 2, "depth": 2}, 112),
    "unetplusplus": (models.unetplusplus, {"filters": 2, "depth": 2}, 96),
    "unet3plus": (models.unet3plus, {"filters": (2, 3, 4)}, 96),
    "fcn": (
        models.fcn,
        {"filters": (1, 1, 1, 1, 2), "encoder": "plain", "dense_filters": 2},
        640,
    ),
}


@functools.cache
def network(name):
    keras.utils.set_random_seed(3)
    builder, options, _ = ARCHITECTURES[name]
    model = builder((None, None, 1), CLASSES, **options)
    trained_statistics(model)
    for layer in model.layers:
        for weight in layer.weights:
            if not np.any(weight.numpy()):  # what begins at zero would hide what it looks at
                weight.assign(np.random.default_rng(0).normal(0, 0.5, weight.shape))
    return model


def in_one_piece(model, image):
    """The network over the image, which is mirrored where the network does not pad it itself."""
    facts = network_facts(model)
    if facts.padding == "mirror":
        sides = zip(facts.whole(*image.shape[:2]), image.shape[:2], strict=True)
        margins = [(facts.margin, whole - side - facts.margin) for whole, side in sides]
        image = np.pad(image, (*margins, (0, 0)), mode="reflect")
    return model(image[np.newaxis], training=False).numpy()[0]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_tiles_with_the_exact_halo_equal_the_image_in_one_piece(name):
    model, tile_size = network(name), ARCHITECTURES[name][2]
    height, width = (701, 933) if name == "fcn" else SIZE
    image = np.random.default_rng(0).random((height, width, 1), np.float32)
    geometry = model_geometry(model, tile_size, "exact")
    assert min(geometry.grid(height, width)) > 1
    whole = in_one_piece(model, image)[:height, :width]
    assert whole.std() > 1e-3
    # In a graph, by InGraphTiler.
    tiled = predict_image(model, image, tile_size=tile_size, halo="exact")
    np.testing.assert_allclose(tiled, whole, atol=3e-6)
    predictor = StreamingPredictor(model, geometry=geometry)
    streamed = predictor.predict(image, kind="probabilities", progress=False)
    np.testing.assert_allclose(streamed, whole, atol=3e-6)


@pytest.mark.parametrize("name", ["unet", "unet unpadded", "fcn"])
@pytest.mark.parametrize("size", [(1, 1), (70, 45)])
def test_an_image_smaller_than_a_tile_is_exact_too(name, size):
    model, tile_size = network(name), ARCHITECTURES[name][2]
    image = np.random.default_rng(0).random((*size, 1), np.float32)
    found = predict_image(model, image, tile_size=tile_size, halo="exact")
    whole = in_one_piece(model, image)[: size[0], : size[1]]
    np.testing.assert_allclose(found, whole, atol=3e-6)


def test_an_image_smaller_than_the_output_of_the_smallest_tile():
    model = models.unet(filters=1, depth=4, padding="valid")  # 188 pixels in, 4 out
    image = np.random.default_rng(0).random((3, 2, 1), np.float32)
    found = predict_image(model, image, tile_size=252, halo="exact")
    whole = in_one_piece(model, image)[:3, :2]
    np.testing.assert_allclose(found, whole, atol=3e-6)


@pytest.mark.parametrize("name", ["unet unpadded", "unet3plus", "fcn"])
def test_a_model_by_itself_and_one_that_holds_it_have_the_same_facts(name):
    model = network(name)
    own = network_facts(model)
    assert own is network_facts(model)
    image = keras.Input((None, None, 1))
    read_off = network_facts(keras.Model(image, model(image)))
    for fact in ("channels", "num_classes", "margin", "grid", "padding", "fixed_size"):
        assert getattr(read_off, fact) == getattr(own, fact), fact
    assert (read_off.activation, own.activation) == ("unknown", "softmax")
    for size in (300, 401):
        assert read_off.at_most(size) == own.at_most(size)


def test_a_tile_smaller_than_the_network_takes_is_refused():
    with pytest.raises(ValueError, match=r"tile_size.* 20x20 .* smallest is 32x32"):
        predict_image(network("fcn"), np.zeros((50, 50), np.float32), tile_size=20)
