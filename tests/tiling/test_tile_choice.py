"""Which tiles fit a network and an image."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_unet3p.geometry import NetworkFacts
from keras_unet3p.models import unet
from keras_unet3p.tiling import image_prediction, predict_image
from keras_unet3p.tiling.tile_choice import small_geometry

PADDED = NetworkFacts(1, 1, "sigmoid", divisor=16, minimum=16, grid=16)
UNPADDED = NetworkFacts(1, 1, "sigmoid", 16, offset=12, minimum=188, margin=92, grid=16)
ZEROS = NetworkFacts(1, 1, "sigmoid", grid=32, padding="zeros")


@pytest.mark.parametrize(
    ("facts", "size", "tile"),
    [
        (PADDED, (128, 128), (128, 128)),
        (PADDED, (1, 1), (64, 64)),
        (PADDED, (128, 130), (192, 192)),
        (PADDED, (385, 20), None),
        (PADDED, (700, 20), None),
        (UNPADDED, (68, 60), (252, 252)),
        (UNPADDED, (69, 60), (380, 380)),
        (ZEROS, (60, 50), (64, 64)),
    ],
)
def test_a_small_image_gets_a_small_tile(facts, size, tile):
    found = small_geometry(facts, 512, *size)
    assert (None if found is None else found.tile) == tile


def test_a_fixed_size_stays():
    assert small_geometry(NetworkFacts(1, 1, fixed_size=(512, 512)), 512, 20, 20) is None


@given(
    st.sampled_from([PADDED, UNPADDED, ZEROS]),
    st.integers(220, 600),
    st.integers(1, 600),
    st.integers(1, 600),
)
def test_one_tile_shows_the_whole_image(facts, tile_size, height, width):
    found = small_geometry(facts, tile_size, height, width)
    if found is not None:
        assert found.grid(height, width) == (1, 1)
        assert np.prod(found.tile) < np.prod(facts.tile(tile_size))
        assert facts.tile(found.tile) == found.tile


def test_images_of_many_sizes_share_a_few_graphs(monkeypatch):
    model = unet(filters=2, depth=2)
    monkeypatch.setattr(image_prediction, "_COMPILED", weakref.WeakKeyDictionary())
    tiles = []
    compile_graph = image_prediction._compile

    def watched(tiler, *arguments):
        tiles.append(tiler.geometry.tile[0])
        return compile_graph(tiler, *arguments)

    monkeypatch.setattr(image_prediction, "_compile", watched)
    rng = np.random.default_rng(0)
    for side in (*range(5, 80, 5), *range(5, 80, 5)):
        image = rng.random((side, 3), np.float32)
        assert predict_image(model, image, tile_size=64).shape == (side, 3, 1)
    assert tiles == [8, 16, 24, 32, 48, 64]


def test_an_image_as_large_as_its_tile_is_segmented_in_one_piece():
    model = unet(filters=2, depth=2)
    image = np.random.default_rng(1).random((32, 32), np.float32)
    expected = np.asarray(model(image[None, ..., None], training=False))[0]
    np.testing.assert_allclose(predict_image(model, image, tile_size=128), expected, atol=1e-6)
