from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet3p.geometry import TileGeometry, mirror_index, mirrored


@st.composite
def geometries(draw):
    stride = draw(st.sampled_from([1, 2, 4, 16]))
    margin = draw(st.integers(0, 9))
    halo = margin + stride * draw(st.integers(0, 3))
    height, width = (
        2 * halo + stride * draw(st.integers(1, 4)) + draw(st.integers(0, stride - 1))
        for _ in range(2)
    )
    plain = TileGeometry((height, width), halo, margin, stride)
    largest = min(halo - margin, min(plain.core) // 2)
    blend = draw(st.integers(0, largest))
    border = stride * draw(st.integers(0, (halo - margin) // stride))
    fill = draw(st.sampled_from(["mirror", "zeros"]))
    return TileGeometry((height, width), halo, margin, stride, blend, border, fill)


@given(geometries(), st.integers(1, 70), st.integers(1, 70))
@settings(max_examples=60, deadline=None)
def test_weights_of_all_tiles_add_up_to_one_at_every_pixel(geometry, height, width):
    total = np.zeros((height, width))
    for tile in geometry.tiles(height, width):
        rows = slice(tile.y.write_start, tile.y.write_stop)
        columns = slice(tile.x.write_start, tile.x.write_stop)
        total[rows, columns] += np.outer(tile.y.weights, tile.x.weights)
    np.testing.assert_allclose(total, 1.0, atol=1e-12)


@given(geometries(), st.integers(1, 70))
@settings(max_examples=60, deadline=None)
def test_without_blending_every_pixel_is_written_exactly_once(geometry, length):
    geometry = dataclasses.replace(geometry, blend=0)
    written = np.zeros(length, int)
    for tile in geometry.axis_tiles(length, 0):
        written[tile.write_start : tile.write_stop] += 1
        assert set(tile.weights) == {1.0}
    assert (written == 1).all()


@given(geometries(), st.integers(1, 70))
@settings(max_examples=60, deadline=None)
def test_crop_of_a_tile_is_where_its_pixels_come_from(geometry, length):
    """The kept output pixel `crop_start + n` sits over the image's pixel `write_start + n`."""
    for tile in geometry.axis_tiles(length, 0):
        assert tile.crop_stop - tile.crop_start == tile.write_stop - tile.write_start
        assert tile.read_start + geometry.margin + tile.crop_start == tile.write_start
        assert 0 <= tile.crop_start < tile.crop_stop <= geometry.output[0]
        # Pooling sees the same grid as in the whole (margin-mirrored) image.
        assert (tile.read_start + geometry.margin) % geometry.stride == 0


@given(geometries(), st.integers(1, 70))
@settings(max_examples=60, deadline=None)
def test_what_is_kept_lies_inside_the_halo_except_at_the_border_of_the_image(geometry, length):
    tiles = geometry.axis_tiles(length, 0)
    inside = geometry.halo - geometry.margin - geometry.blend
    for number, tile in enumerate(tiles):
        if number:
            assert tile.crop_start >= inside
        else:
            assert tile.crop_start == geometry.border
        if number < len(tiles) - 1:
            assert geometry.output[0] - tile.crop_stop >= inside
        else:
            assert geometry.output[0] - tile.crop_stop >= geometry.border


@given(geometries(), st.integers(1, 70))
@settings(max_examples=60, deadline=None)
def test_no_tile_reaches_farther_beyond_the_image_than_it_must(geometry, length):
    tiles = geometry.axis_tiles(length, 0)
    reach = geometry.margin + geometry.border
    assert tiles[0].mirror_before == reach
    if len(tiles) > 1:
        beyond = [max(tile.read_stop - length, 0) for tile in tiles]
        assert reach <= beyond[-1] < reach + geometry.stride
        # One tile less would not reach the end.
        assert tiles[-2].read_stop < length + reach


def test_an_image_of_one_tile_takes_one_tile():
    geometry = TileGeometry.fit(512, 64, stride=16)
    assert geometry.grid(512, 512) == (1, 1)
    assert geometry.grid(513, 2048) == (2, 5)
    assert TileGeometry.fit(512, 64, stride=16, border=64).grid(512, 512) == (2, 2)


@given(geometries(), st.integers(1, 70))
@settings(max_examples=60, deadline=None)
def test_source_range_holds_every_pixel_that_the_tile_shows(geometry, length):
    for tile in geometry.axis_tiles(length, 1):
        filled = max(0, tile.read_stop - length - geometry.mirrored)
        assert tile.zeros_after == (filled if geometry.fill == "zeros" else 0)
        stop = tile.read_stop - tile.zeros_after
        shown = [mirror_index(p, length) for p in range(tile.read_start, stop)]
        assert tile.sources(length) == shown
        assert (min(shown), max(shown) + 1) == (tile.source_start, tile.source_stop)
        assert tile.mirror_before == max(0, -tile.read_start)
        assert tile.mirror_after == max(0, stop - length)


@given(geometries(), st.integers(1, 70), st.integers(1, 70))
@settings(max_examples=20, deadline=None)
def test_a_tile_is_the_same_whenever_it_is_asked_for(geometry, height, width):
    tiles = geometry.tiles(height, width)
    assert (tiles.rows, tiles.columns) == geometry.grid(height, width)
    assert [tile.index for tile in tiles] == list(range(len(tiles)))
    again = [tiles[index] for index in reversed(range(len(tiles)))]
    assert again == list(tiles)[::-1]
    assert tiles[1:3] == list(tiles)[1:3]
    with pytest.raises(IndexError):
        tiles[len(tiles)]


@given(st.integers(1, 12), st.integers(0, 40))
@settings(deadline=None)
def test_mirror_index_is_numpys_reflect_padding(length, amount):
    expected = np.pad(np.arange(length), amount, mode="reflect")
    found = [mirror_index(i, length) for i in range(-amount, length + amount)]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(mirrored(np.arange(-amount, length + amount), length), expected)


def test_fit_rounds_the_halo_up_to_the_stride():
    geometry = TileGeometry.fit(512, 100, stride=16)
    assert geometry.halo == 112
    assert geometry.core == (288, 288)
    assert TileGeometry.fit(572, 0, margin=92, stride=16).halo == 92
    assert TileGeometry.fit(572, 93, margin=92, stride=16).halo == 108


def test_core_of_the_unpadded_unet_keeps_the_pooling_grid():
    # The output of 572 is 388 wide, but a step of 388 would shift the pooling by 4 pixels.
    assert TileGeometry.fit(572, 92, margin=92, stride=16).core == (384, 384)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tile": (64, 64), "halo": 8, "stride": 16}, "halo"),
        ({"tile": (64, 64), "halo": 4, "margin": 6}, "halo"),
        ({"tile": (64, 64), "halo": 32, "stride": 16}, "at least 80"),
        ({"tile": (64, 64), "halo": 8, "blend": 9}, "blend"),
        ({"tile": (64, 64), "halo": 24, "blend": 9}, "blend"),
        ({"tile": (64, 64), "halo": 8, "stride": 0}, "stride"),
        ({"tile": (64, 64), "halo": 8, "fill": "ones"}, "fill"),
        ({"tile": (64, 64), "halo": 8, "border": 9}, "border"),
        ({"tile": (64, 64), "halo": 16, "stride": 8, "border": 4}, "border"),
    ],
)
def test_impossible_geometry_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TileGeometry(**arguments)


def test_empty_image_is_refused():
    with pytest.raises(ValueError, match="width"):
        list(TileGeometry((8, 8), 2).tiles(3, 0))


def test_dictionary_reads_back():
    geometry = TileGeometry.fit((128, 96), 10, margin=2, stride=4, border=4, fill="zeros")
    assert TileGeometry.from_dict(geometry.to_dict()) == geometry


def test_geometry_imports_neither_numpy_nor_tensorflow():
    code = (
        "import sys; from keras_unet3p.geometry import TileGeometry; TileGeometry.fit(64, 8); "
        "found = {'numpy', 'tensorflow', 'keras'} & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
