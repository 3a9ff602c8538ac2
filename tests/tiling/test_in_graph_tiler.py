from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet3p.tiling import (
    InGraphTiler,
    TileGeometry,
    model_geometry,
    predict_image,
)
from tests.geometry.test_tiles import geometries

SIZES = [(1, 1), (1, 37), (150, 1), (5, 9), (64, 64), (101, 77), (33, 160)]


def mirrored(image, before, after):
    return np.pad(image, ((before, after[0]), (before, after[1]), (0, 0)), mode="reflect")


def whole_image(model, image, margin, around, divisor):
    """The network over the whole mirrored image in one piece.

    `around` pixels more than the margin are mirrored on each side, so that the zeros that a padded
    network sets around it do not reach the image; sizes are rounded up to `divisor`.
    """
    before = margin + around
    after = [-(side + 2 * before) % divisor + before for side in image.shape[:2]]
    out = model(mirrored(image, before, after)[None], training=False).numpy()[0]
    return out[around : around + image.shape[0], around : around + image.shape[1]]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("blend", [0, None])
def test_padded_network_tiled_is_the_whole_image_where_the_halo_covers(networks, size, blend):
    """At the image's border too, where both see the network's own zeros."""
    model = networks("same", 3, 3)
    image = np.random.default_rng(0).random((*size, 3), np.float32)
    tiled = predict_image(model, image, tile_size=80, halo=32, blend=blend)
    # What the model cannot take or is smaller than a tile is mirrored on the right and below.
    after = [max(80, side + -side % 4) - side for side in size]
    whole = model(mirrored(image, 0, after)[None], training=False).numpy()[0]
    np.testing.assert_allclose(tiled, whole[: size[0], : size[1]], atol=2e-6)


@pytest.mark.parametrize("blend", [None, 8])
def test_the_exact_halo_is_exact_however_tiles_are_blended(networks, blend):
    model = networks("same", 1, 1)
    image = np.random.default_rng(0).random((140, 96, 1), np.float32)
    tiled = predict_image(model, image, tile_size=96, halo="exact", blend=blend)
    np.testing.assert_allclose(tiled, model(image[None], training=False)[0], atol=2e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("blend", [0, None])
def test_padded_network_behind_a_mirrored_border(networks, size, blend):
    model = networks("same", 3, 3)
    geometry = model_geometry(model, 80, 32, blend=blend, border=32)
    image = np.random.default_rng(0).random((*size, 3), np.float32)
    tiled = predict_image(model, image, geometry=geometry)
    np.testing.assert_allclose(tiled, whole_image(model, image, 0, 32, 4), atol=2e-6)


@pytest.mark.parametrize("size", SIZES)
def test_unpadded_network_tiled_is_the_whole_image(networks, size):
    model = networks("valid", 1, 1)
    geometry = model_geometry(model, 90)
    assert geometry.margin == 20
    assert geometry.stride == 4
    image = np.random.default_rng(1).random((*size, 1), np.float32)
    tiled = predict_image(model, image, geometry=geometry)
    whole = whole_image(model, image, geometry.margin, 0, 4)
    np.testing.assert_allclose(tiled, whole, atol=2e-6)


def test_a_halo_that_is_too_small_shows(networks):
    """The equality above is not given by a network that sees one pixel only."""
    model = networks("same", 3, 3)
    image = np.random.default_rng(0).random((101, 77, 3), np.float32)
    geometry = model_geometry(model, 80, 4, blend=0, border=4)
    tiled = predict_image(model, image, geometry=geometry)
    assert np.abs(tiled - whole_image(model, image, 0, 32, 4)).max() > 1e-4


@given(geometries(), st.integers(1, 70), st.integers(1, 70), st.integers(1, 3))
@settings(max_examples=12, deadline=None)
def test_every_tile_comes_to_lie_where_the_geometry_says(geometry, height, width, step):
    """A network whose result depends on the place in the tile, against NumPy."""
    inner = slice(geometry.margin, -geometry.margin or None)
    pattern = np.random.default_rng(0).random((*geometry.output, 2), np.float32)
    image = np.random.default_rng(1).random((height, width, 1), np.float32)
    expected = np.zeros((height, width, 2))
    for tile in geometry.tiles(height, width):
        shown = image[tile.y.sources(height)][:, tile.x.sources(width)]
        zeros = (0, tile.y.zeros_after), (0, tile.x.zeros_after), (0, 0)
        output = np.pad(shown, zeros)[inner, inner] + pattern
        kept = output[tile.y.crop_start : tile.y.crop_stop, tile.x.crop_start : tile.x.crop_stop]
        window = np.s_[
            tile.y.write_start : tile.y.write_stop, tile.x.write_start : tile.x.write_stop
        ]
        expected[window] += kept * np.outer(tile.y.weights, tile.x.weights)[..., np.newaxis]
    tiler = InGraphTiler(
        lambda tiles: tiles[:, inner, inner] + pattern, geometry, 2, batch_size=step
    )
    run = tf.function(tiler.probabilities, autograph=False)
    np.testing.assert_allclose(run(tf.constant(image[None]))[0], expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_are_divided_by_their_largest_value(networks, dtype):
    model = networks()
    image = np.random.default_rng(2).integers(0, np.iinfo(dtype).max, (40, 50), endpoint=True)
    image = image.astype(dtype)
    unit = (image / np.iinfo(dtype).max).astype(np.float32)
    np.testing.assert_allclose(
        predict_image(model, image, tile_size=64, halo=16),
        predict_image(model, unit, tile_size=64, halo=16),
        atol=5e-6,  # a unit value may differ by its last bit, and a network carries that on
    )


@pytest.mark.parametrize("blend", [0, 8])
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_class_ids_are_the_decision_on_the_probabilities(networks, classes, blend, batch_size):
    model = networks("same", 1, classes)
    tiler = InGraphTiler(
        lambda tiles: model(tiles, training=False),
        TileGeometry((64, 48), 16, 0, 4, blend if blend else 0),
        classes,
        batch_size=batch_size,
    )
    images = np.random.default_rng(3).random((2, 90, 70, 1), np.float32)
    probabilities = tf.function(tiler.probabilities)(images).numpy()
    tiler.threshold = float(np.quantile(probabilities, 0.6))
    ids = tf.function(tiler.class_ids)(images).numpy()
    assert ids.dtype == np.uint8
    expected = (
        probabilities[..., 0] >= tiler.threshold if classes == 1 else probabilities.argmax(-1)
    )
    np.testing.assert_array_equal(ids, expected)
    assert len(np.unique(ids)) > 1


def test_images_of_a_batch_do_not_mix(networks):
    model = networks()
    images = np.random.default_rng(4).random((3, 70, 45, 1), np.float32)
    tiler = InGraphTiler(
        lambda tiles: model(tiles, training=False),
        TileGeometry((64, 64), 16, 0, 4),
        1,
        batch_size=4,
    )
    together = tiler.probabilities(tf.constant(images)).numpy()
    for image, result in zip(images, together, strict=True):
        alone = predict_image(model, image, tile_size=64, halo=16, blend=0)
        np.testing.assert_allclose(result, alone, atol=1e-5)


def test_the_network_sees_one_static_tile_size(networks):
    seen = []

    def network(tiles):
        seen.append(tuple(tiles.shape[1:]))
        return tiles

    tiler = InGraphTiler(network, TileGeometry((32, 48), 8), 1, batch_size=3)
    graph = tf.function(tiler.probabilities).get_concrete_function(
        tf.TensorSpec((None, None, None, 1))
    )
    image = np.random.default_rng(0).random((1, 100, 61, 1), np.float32)
    np.testing.assert_array_equal(graph(tf.constant(image)), image)
    assert set(seen) == {(32, 48, 1)}


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8, 2), np.float32), r"\(H, W, 1\)"),
        (np.zeros((0, 8), np.float32), "shape"),
        (np.zeros((8, 8), np.int64), "int64"),
    ],
)
def test_unfitting_images_are_refused(networks, image, message):
    with pytest.raises(ValueError, match=message):
        predict_image(networks(), image, tile_size=64)


def versions(tile):
    """The eight symmetries of a square, each with what undoes it on the result."""
    for transposed in (False, True):
        for rows in (1, -1):
            for columns in (1, -1):
                image = tile.transpose(1, 0, 2) if transposed else tile
                yield (
                    image[::rows, ::columns],
                    lambda found, t=transposed, r=rows, c=columns: (
                        found[::r, ::c].transpose(1, 0, 2) if t else found[::r, ::c]
                    ),
                )


@pytest.mark.parametrize(
    ("padding", "test_time_augmentation"), [("same", 2), ("same", 4), ("valid", 8)]
)
def test_symmetries_average_over_mirrored_and_turned_tiles(
    networks, padding, test_time_augmentation
):
    model = networks(padding)
    tile = np.random.default_rng(0).random((64, 64, 1), np.float32)
    margin = model_geometry(model, 64).margin
    geometry = TileGeometry((64, 64), margin, margin)
    results = [
        undo(model(np.ascontiguousarray(image)[None], training=False).numpy()[0])
        for image, undo in versions(tile)
    ]
    chosen = {2: results[:2], 4: results[:4], 8: results}[test_time_augmentation]
    tiler = InGraphTiler(
        lambda tiles: model(tiles, training=False),
        geometry,
        1,
        test_time_augmentation=test_time_augmentation,
    )
    # Mirrored by the margin, an image of the output's size is not the tile: look at one tile alone.
    found = tf.function(tiler._predict)(tf.constant(tile[None])).numpy()[0]
    np.testing.assert_allclose(found, np.mean(chosen, axis=0), atol=1e-6)
    assert np.abs(results[0] - results[1]).max() > 1e-3


def test_symmetries_make_the_result_turn_with_the_image(networks):
    model = networks()
    image = np.random.default_rng(1).random((64, 64, 1), np.float32)
    options = {"tile_size": 64, "halo": 0, "test_time_augmentation": 8}
    found = predict_image(model, image, **options)
    turned = predict_image(model, np.rot90(image), **options)
    np.testing.assert_allclose(turned, np.rot90(found), atol=1e-5)


@pytest.mark.parametrize(("tile", "test_time_augmentation"), [((64, 64), 3), ((64, 32), 8)])
def test_other_symmetries_are_refused(tile, test_time_augmentation):
    with pytest.raises(ValueError, match="test_time_augmentation"):
        InGraphTiler(
            tf.identity, TileGeometry(tile, 8), 1, test_time_augmentation=test_time_augmentation
        )


def seam(error, core, first):
    """Mean jump of the error across the lines between tiles, over that a few pixels beside them."""
    jumps = np.abs(np.diff(error, axis=0)).mean((1, 2))
    lines = np.arange(first - 1, len(jumps) - core, core)
    beside = [jumps[lines + n].mean() for n in (-5, -4, -3, 3, 4, 5)]
    return jumps[lines].mean() / np.mean(beside)


def test_blending_hides_the_seams_of_a_halo_that_is_too_small(networks):
    model = networks("same", 1, 1, depth=3)
    image = np.random.default_rng(0).random((320, 320, 1), np.float32)
    whole = model(image[None], training=False).numpy()[0]
    error = {
        blend: predict_image(model, image, tile_size=80, halo=8, blend=blend) - whole
        for blend in (0, 8)
    }
    assert np.abs(error[8]).max() > 1e-3  # the halo is too small
    assert seam(error[0], 64, 72) > 3  # hard-cut tiles: the error jumps at the lines
    assert seam(error[8], 64, 72) < 1.1  # blended: the lines are as what is beside them
