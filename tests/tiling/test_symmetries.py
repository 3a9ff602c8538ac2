"""The mean over mirrored and turned versions of tiles, outside of a graph."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_unet3p.geometry import TileGeometry
from keras_unet3p.models import unet
from keras_unet3p.tiling import StreamingPredictor, predict_image
from keras_unet3p.tiling.symmetries import VERSIONS, averaged, check_versions


@given(st.sampled_from(VERSIONS), st.integers(0, 2**32 - 1))
def test_what_turns_with_the_image_is_its_own_mean(versions, seed):
    tiles = np.random.default_rng(seed).random((2, 6, 6, 1), np.float32)
    np.testing.assert_allclose(averaged(lambda tile: tile**2, versions)(tiles), tiles**2, rtol=1e-6)


@given(st.sampled_from(VERSIONS), st.integers(0, 2**32 - 1))
def test_the_mean_turns_with_the_image(versions, seed):
    rng = np.random.default_rng(seed)
    weights, tiles = rng.random((1, 4, 4, 1)), rng.random((1, 4, 4, 1))
    mean = averaged(lambda tile: tile * weights, versions)
    turns = [lambda x: x, lambda x: x[:, :, ::-1], lambda x: x[:, ::-1], lambda x: x.swapaxes(1, 2)]
    for turn in turns[: VERSIONS.index(versions) + 1]:
        np.testing.assert_allclose(mean(turn(tiles)), turn(mean(tiles)), rtol=1e-12)


def test_several_versions_are_seen():
    seen = []

    def run(tiles):
        seen.append(tiles[0, :, :, 0].tolist())
        return tiles

    averaged(run, 8)(np.arange(9.0).reshape(1, 3, 3, 1))
    assert len({str(tile) for tile in seen}) == 8


def test_images_in_windows_have_it_too(tmp_path):
    model = unet(filters=4, depth=1, batch_norm=False)
    image = np.random.default_rng(0).random((50, 70), np.float32)
    options = {"tile_size": 32, "test_time_augmentation": 8}
    streamed = StreamingPredictor(model, **options).predict(
        image, kind="probabilities", progress=False
    )
    whole = predict_image(model, image, **options)
    np.testing.assert_allclose(streamed, whole, atol=1e-6)
    plain = predict_image(model, image, tile_size=32)
    assert np.abs(whole - plain).max() > 1e-4


def test_a_journal_tells_them_apart():
    model = unet(filters=2, depth=1)
    names = {
        StreamingPredictor(model, tile_size=32, test_time_augmentation=versions).identity
        for versions in VERSIONS
    }
    assert len(names) == len(VERSIONS)


def test_others_are_refused():
    with pytest.raises(ValueError, match="test_time_augmentation must be 1, 2, 4 or 8, found 3"):
        check_versions(3, TileGeometry((32, 32), 8))
    with pytest.raises(ValueError, match="needs square tiles"):
        StreamingPredictor(unet(filters=2, depth=1), tile_size=(32, 64), test_time_augmentation=8)
