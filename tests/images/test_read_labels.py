from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from keras_unet3p import images

RNG = np.random.default_rng(1)
IDS = RNG.integers(0, 4, (20, 31), np.uint8)


def check(path, expected) -> None:
    (labels,) = images.read_labels(path)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("bit_depth", [2, 4, 8])
def test_palette_png_gives_its_indices(tmp_path, encode_png, bit_depth):
    palette = [(0, 0, 0), (200, 30, 30), (30, 200, 30), (200, 30, 30)]  # two colours alike
    path = tmp_path / "mask.png"
    path.write_bytes(encode_png(IDS, bit_depth, 3, palette))
    check(path, IDS)


def test_palette_tiff_and_bmp_give_their_indices(tmp_path):
    colormap = RNG.integers(0, 65536, (3, 256), np.uint16)
    tifffile.imwrite(tmp_path / "mask.tif", IDS, photometric="palette", colormap=colormap)
    check(tmp_path / "mask.tif", IDS)
    image = Image.fromarray(IDS, mode="P")
    image.putpalette(list(range(10, 22)))
    image.save(tmp_path / "mask.bmp")
    check(tmp_path / "mask.bmp", IDS)


@pytest.mark.parametrize("bit_depth", [2, 4, 8, 16])
def test_grey_png_gives_the_stored_numbers(tmp_path, encode_png, bit_depth):
    path = tmp_path / "mask.png"
    path.write_bytes(encode_png(IDS.astype(np.uint16), bit_depth, 0))
    check(path, IDS)


def test_one_bit_png(tmp_path, encode_png):
    path = tmp_path / "mask.png"
    path.write_bytes(encode_png(IDS // 2, 1, 0))
    check(path, IDS // 2)


def test_colour_masks_of_equal_channels(tmp_path):
    Image.fromarray(np.dstack([IDS * 60] * 3)).save(tmp_path / "rgb.png")
    check(tmp_path / "rgb.png", IDS * 60)
    alpha = np.full_like(IDS, 128)
    Image.fromarray(np.dstack([IDS, IDS, IDS, alpha])).save(tmp_path / "rgba.png")
    check(tmp_path / "rgba.png", IDS)
    Image.fromarray(np.dstack([IDS, alpha]), mode="LA").save(tmp_path / "la.png")
    check(tmp_path / "la.png", IDS)


def test_colour_masks_of_differing_channels_are_refused(tmp_path):
    Image.fromarray(np.dstack([IDS, IDS, IDS // 2])).save(tmp_path / "rgb.png")
    with pytest.raises(ValueError, match=r"rgb\.png: a mask of 3 differing channels; expected one"):
        images.read_labels(tmp_path / "rgb.png")


def test_stacks_of_instance_ids(tmp_path):
    stack = RNG.integers(0, 60000, (3, 20, 31), np.uint16)
    tifffile.imwrite(tmp_path / "masks.tif", stack, photometric="minisblack")
    np.testing.assert_array_equal(np.stack(images.read_labels(tmp_path / "masks.tif")), stack)


def test_inverted_tiff_gives_the_stored_numbers(tmp_path):
    tifffile.imwrite(tmp_path / "mask.tif", IDS, photometric="miniswhite")
    check(tmp_path / "mask.tif", IDS)


@pytest.mark.parametrize("dtype", [bool, np.float32, np.float64, np.int64, np.uint32])
def test_other_types_that_hold_whole_numbers(tmp_path, dtype):
    np.save(tmp_path / "mask.npy", IDS.astype(dtype))
    check(tmp_path / "mask.npy", IDS.astype(dtype).astype(int))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.5, r"the value 0\.5; expected whole numbers"),
        (np.nan, "NaN or infinite values; expected whole"),
        (-1.0, r"from -1 to 1; expected whole numbers from 0"),
        (2.0**40, "expected whole numbers from 0 to 2147483647"),
        (1j, "a mask of type complex"),
    ],
)
def test_other_values_are_refused(tmp_path, value, message):
    np.save(tmp_path / "mask.npy", np.array([[0, 1, value]]))
    with pytest.raises(ValueError, match=rf"mask\.npy: .*{message}"):
        images.read_labels(tmp_path / "mask.npy")
