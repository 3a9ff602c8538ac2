"""Claims of a header are checked before anything of that size is made."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from keras_unet3p import images

GREY = np.random.default_rng(4).integers(0, 256, (24, 30), np.uint8)
COLOUR = np.dstack([GREY, GREY, 255 - GREY])
WRITERS = {
    "grey.png": lambda path: Image.fromarray(GREY).save(path),
    "palette.png": lambda path: Image.fromarray(COLOUR).quantize(8).save(path),
    "colour.jpg": lambda path: Image.fromarray(COLOUR).save(path),
    "colour.bmp": lambda path: Image.fromarray(COLOUR).save(path),
    "plain.tif": lambda path: tifffile.imwrite(path, GREY),
    "lzw.tif": lambda path: Image.fromarray(GREY).save(path, compression="tiff_lzw"),
    "imagej.tif": lambda path: tifffile.imwrite(path, np.stack([GREY] * 3), imagej=True),
    "image.npy": lambda path: np.save(path, GREY),
    "stack.npy": lambda path: np.save(path, np.stack([GREY] * 3)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_limit_is_the_same_for_every_format(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    with pytest.raises(ValueError, match=r"720 pixels; max_pixels .--max-pixels. allows 719") as at:
        images.read_image(path, max_pixels=719)
    assert str(at.value).startswith(f"{path}: an image of 24 x 30")
    assert images.read_image(path, max_pixels=720)[0].shape[:2] == (24, 30)
    with pytest.raises(ValueError, match="max_pixels"):
        images.read_labels(path, max_pixels=719)


def claim(path, height, width):
    """Let the file's header claim another size."""
    content = bytearray(path.read_bytes())
    if path.suffix == ".png":
        content[16:24] = struct.pack(">II", width, height)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    elif path.suffix == ".bmp":
        content[18:26] = struct.pack("<ii", width, height)
    elif path.suffix == ".jpg":
        at = content.index(b"\xff\xc0")
        content[at + 5 : at + 9] = struct.pack(">HH", height, width)
    else:
        with tifffile.TiffFile(path, mode="r+b") as tiff:
            tiff.pages.first.tags["ImageLength"].overwrite(height)
            tiff.pages.first.tags["ImageWidth"].overwrite(width)
        return
    path.write_bytes(content)


@pytest.mark.parametrize(
    "name", ["grey.png", "palette.png", "colour.jpg", "colour.bmp", "plain.tif", "lzw.tif"]
)
def test_a_small_file_that_claims_gigabytes_is_refused(tmp_path, name):
    WRITERS[name](tmp_path / name)
    claim(tmp_path / name, 40_000, 40_001)
    with pytest.raises(ValueError, match=rf"{name}: an image of 40000 x 40001.*1600040000 pixels"):
        images.read_image(tmp_path / name)


def test_tiles_of_a_tiff_count_as_they_are_stored(tmp_path):
    tifffile.imwrite(tmp_path / "tiles.tif", GREY, tile=(16, 16))
    with tifffile.TiffFile(tmp_path / "tiles.tif", mode="r+b") as tiff:
        tiff.pages.first.tags["TileWidth"].overwrite(60_000)
        tiff.pages.first.tags["TileLength"].overwrite(60_000)
    with pytest.raises(ValueError, match="an image of 60000 x 60000"):
        images.read_image(tmp_path / "tiles.tif")


def test_many_channels_count_as_more_pixels():
    limits = images.Limits(max_pixels=100)
    limits.check_pixels("a.tif", 10, 10, 4)
    with pytest.raises(ValueError, match="10 x 10 x 5, which is 200 pixels"):
        limits.check_pixels("a.tif", 10, 10, 5)


@pytest.mark.parametrize("name", ["stack.tif", "imagej.tif", "stack.npy"])
def test_a_file_of_too_many_images_is_refused(tmp_path, name):
    path = tmp_path / name
    pages = np.stack([GREY] * 5)
    if name == "stack.npy":
        np.save(path, pages)
    elif name == "imagej.tif":
        tifffile.imwrite(path, pages, imagej=True, metadata={"axes": "ZYX"})
    else:
        tifffile.imwrite(path, pages, photometric="minisblack")
    with pytest.raises(ValueError, match=r"[45] images .pages.; max_pages .--max-pages. allows"):
        images.read_image(path, max_pages=3)
    assert len(images.read_image(path, max_pages=5)) == 5


def test_images_that_share_one_page_count_and_are_read_each_by_itself(tmp_path):
    stack = np.stack([GREY, GREY // 2, GREY // 3])
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", truncate=True)
    file = images.ImageFile(tmp_path / "a.tif", max_pages=3)
    np.testing.assert_allclose(np.stack(list(file))[..., 0], stack / 255, atol=1e-6)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content.replace(b"[3, 24, 30]", b"[9, 24, 30]"))
    with pytest.raises(ValueError, match=r"a\.tif: holds 9 images"):
        images.read_image(tmp_path / "a.tif", max_pages=8)
    with pytest.raises(ValueError, match=r"a\.tif: truncated"):
        images.read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("back_to", [0, 3])
def test_pages_that_run_in_a_circle_are_refused(tmp_path, bigtiff, back_to):
    path = tmp_path / "circle.tif"
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as writer:
        for _ in range(5):
            writer.write(GREY, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        pages, form = list(tiff.pages), tiff.tiff
    last = pages[-1].offset + form.tagnosize + len(pages[-1].tags) * form.tagsize
    content = bytearray(path.read_bytes())
    pointer = struct.pack(form.offsetformat, pages[back_to].offset)
    content[last : last + len(pointer)] = pointer
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"circle\.tif: damaged .*in a circle after 5 pages"):
        images.read_image(path)


@pytest.mark.parametrize("limits", [{"max_pixels": 0}, {"max_pages": 0}, {"max_pages": 1.5}])
def test_limits_out_of_range(limits):
    with pytest.raises(ValueError, match="expected a whole number of at least 1"):
        images.Limits(**limits)
