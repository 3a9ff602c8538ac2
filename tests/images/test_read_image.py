from __future__ import annotations

import os
import sys

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from keras_unet3p import images

RNG = np.random.default_rng(0)
GREY8 = RNG.integers(0, 256, (21, 34), np.uint8)
GREY16 = RNG.integers(0, 65536, (21, 34), np.uint16)
RGB8 = RNG.integers(0, 256, (21, 34, 3), np.uint8)
RGB16 = RNG.integers(0, 65536, (21, 34, 3), np.uint16)
FLOAT = RNG.random((21, 34), np.float32)
STACK16 = RNG.integers(0, 65536, (5, 21, 34), np.uint16)
ALPHA8 = np.full((21, 34, 1), 77, np.uint8)
PALETTE = RNG.integers(0, 256, (16, 3), np.uint8)
INDICES = RNG.integers(0, 16, (21, 34), np.uint8)


def unit(array: np.ndarray) -> np.ndarray:
    array = array / np.iinfo(array.dtype).max
    return array.astype(np.float32).reshape(*array.shape[:2], -1)


def only(found: list[np.ndarray]) -> np.ndarray:
    assert len(found) == 1
    assert found[0].dtype == np.float32
    return found[0]


def check(path, expected: np.ndarray) -> None:
    np.testing.assert_allclose(only(images.read_image(path)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("stored", "bit_depth", "colour_type", "expected"),
    [
        (GREY8, 8, 0, unit(GREY8)),
        (GREY16, 16, 0, unit(GREY16)),
        (RGB8, 8, 2, unit(RGB8)),
        (RGB16, 16, 2, unit(RGB16)),
        (np.dstack([GREY8, ALPHA8]), 8, 4, unit(GREY8)),
        (np.dstack([RGB8, ALPHA8]), 8, 6, unit(RGB8)),
        (np.dstack([RGB16, GREY16]), 16, 6, unit(RGB16)),
        (np.dstack([GREY16, GREY16 // 2]), 16, 4, unit(GREY16)),
        (GREY8 // 128, 1, 0, (GREY8 // 128)[..., None].astype(np.float32)),
        (GREY8 // 64, 2, 0, (GREY8 // 64)[..., None] / np.float32(3)),
        (GREY8 // 16, 4, 0, (GREY8 // 16)[..., None] / np.float32(15)),
    ],
)
def test_png_of_every_depth_and_colour_type(
    tmp_path, encode_png, stored, bit_depth, colour_type, expected
):
    path = tmp_path / "image.png"
    path.write_bytes(encode_png(stored, bit_depth, colour_type))
    check(path, expected)


@pytest.mark.parametrize("bit_depth", [4, 8])
def test_palette_png_is_expanded_to_colour(tmp_path, encode_png, bit_depth):
    path = tmp_path / "image.png"
    path.write_bytes(encode_png(INDICES, bit_depth, 3, PALETTE))
    check(path, unit(PALETTE[INDICES]))


def test_palette_of_greys_is_a_grey_image(tmp_path, encode_png):
    path = tmp_path / "image.png"
    path.write_bytes(encode_png(INDICES, 8, 3, PALETTE[:, [0, 0, 0]]))
    check(path, unit(PALETTE[:, 0][INDICES]))


@pytest.mark.parametrize("stored", [GREY8, RGB8])
def test_bmp(tmp_path, stored):
    Image.fromarray(stored).save(tmp_path / "image.bmp")
    check(tmp_path / "image.bmp", unit(stored))


@pytest.mark.parametrize("shape", [(64, 80), (64, 80, 3)])
def test_jpeg(tmp_path, shape):
    smooth = cv2.GaussianBlur(RNG.integers(0, 256, shape, np.uint8), (0, 0), 6)
    Image.fromarray(smooth).save(tmp_path / "image.JPG", quality=98)
    image = only(images.read_image(tmp_path / "image.JPG"))
    assert image.shape == (64, 80, 3 if len(shape) == 3 else 1)
    assert np.abs(image - unit(smooth)).max() < 0.03


@pytest.mark.parametrize(
    ("stored", "options", "expected"),
    [
        (GREY8, {}, unit(GREY8)),
        (GREY16, {"bigtiff": True}, unit(GREY16)),
        (GREY16, {"byteorder": ">"}, unit(GREY16)),
        (GREY16, {"compression": "zlib", "predictor": True}, unit(GREY16)),
        (FLOAT, {}, FLOAT[..., None]),
        (RGB8, {"photometric": "rgb"}, unit(RGB8)),
        (RGB16, {"photometric": "rgb", "tile": (16, 16)}, unit(RGB16)),
        (np.dstack([RGB8, ALPHA8]), {"photometric": "rgb"}, unit(RGB8)),
        (
            np.ascontiguousarray(RGB8.transpose(2, 0, 1)),
            {"photometric": "rgb", "planarconfig": "separate"},
            unit(RGB8),
        ),
        (255 - GREY8, {"photometric": "miniswhite"}, unit(GREY8)),
        (GREY8 > 100, {"photometric": "minisblack"}, (GREY8 > 100)[..., None].astype(np.float32)),
    ],
)
def test_tiff(tmp_path, stored, options, expected):
    tifffile.imwrite(tmp_path / "image.tif", stored, **options)
    check(tmp_path / "image.tif", expected)


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "minisblack"},
        {"photometric": "minisblack", "compression": "zlib"},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"photometric": "minisblack", "ome": True, "metadata": {"axes": "ZYX"}},
    ],
)
def test_every_page_of_a_tiff_is_an_image(tmp_path, options):
    tifffile.imwrite(tmp_path / "stack.tiff", STACK16, **options)
    found = images.read_image(tmp_path / "stack.tiff")
    np.testing.assert_allclose(np.stack(found), (STACK16 / 65535)[..., None], atol=1e-6)


def test_pages_of_differing_sizes(tmp_path):
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        writer.write(GREY8)
        writer.write(GREY8[:10, :12], metadata=None)
    found = images.read_image(tmp_path / "pages.tif")
    assert [image.shape for image in found] == [(21, 34, 1), (10, 12, 1)]
    np.testing.assert_allclose(found[1], unit(GREY8[:10, :12]), atol=1e-6)


def test_channels_of_an_imagej_stack_are_channels(tmp_path):
    stack = RNG.integers(0, 65536, (4, 2, 21, 34), np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    found = images.read_image(tmp_path / "stack.tif")
    expected = np.moveaxis(stack, 1, -1) / 65535
    np.testing.assert_allclose(np.stack(found), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [(GREY8, unit(GREY8)), (GREY16, unit(GREY16)), (RGB8, unit(RGB8))],
)
def test_lzw_tiff(tmp_path, stored, expected):
    Image.fromarray(stored).save(tmp_path / "image.tif", compression="tiff_lzw")
    check(tmp_path / "image.tif", expected)


@pytest.mark.parametrize("name", [b"image.tif", b"image\xff.tif"])  # the second is not UTF-8
def test_lzw_tiff_of_16_bit_colour(tmp_path, name):
    if sys.platform != "linux" and not name.isascii():
        pytest.skip("this system has no such names")
    bgr = np.ascontiguousarray(RGB16[..., ::-1])
    lzw = [cv2.IMWRITE_TIFF_COMPRESSION, 5]
    assert cv2.imwritemulti(str(tmp_path / "written.tif"), [bgr, bgr // 2], lzw)
    path = (tmp_path / "written.tif").rename(tmp_path / os.fsdecode(name))
    first, second = images.read_image(path)
    np.testing.assert_allclose(first, unit(RGB16), atol=1e-6)
    np.testing.assert_allclose(second, unit(RGB16 // 2), atol=1e-6)


def test_lzw_stack(tmp_path):
    pages = [Image.fromarray(page) for page in STACK16]
    pages[0].save(
        tmp_path / "s.tif", save_all=True, append_images=pages[1:], compression="tiff_lzw"
    )
    found = images.read_image(tmp_path / "s.tif")
    np.testing.assert_allclose(np.stack(found), (STACK16 / 65535)[..., None], atol=1e-6)


def test_palette_tiff(tmp_path):
    colormap = np.zeros((3, 256), np.uint16)
    colormap[:, :16] = PALETTE.T.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "image.tif", INDICES, photometric="palette", colormap=colormap)
    check(tmp_path / "image.tif", unit(PALETTE[INDICES]))


@pytest.mark.parametrize(
    ("stored", "shapes"),
    [
        (GREY8, [(21, 34, 1)]),
        (RGB8, [(21, 34, 3)]),
        (STACK16, [(21, 34, 1)] * 5),
        (np.stack([RGB8, RGB8]), [(21, 34, 3)] * 2),
    ],
)
def test_npy(tmp_path, stored, shapes):
    np.save(tmp_path / "image.npy", stored)
    found = images.read_image(tmp_path / "image.npy")
    assert [image.shape for image in found] == shapes
    expected = (stored / np.iinfo(stored.dtype).max).ravel()
    np.testing.assert_allclose(np.concatenate([i.ravel() for i in found]), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("stored", "divisor"),
    [
        (FLOAT.astype(np.float64), 1.0),
        (FLOAT * 255, 255.0),
        (FLOAT * 60000, 65535.0),
        (FLOAT * 1e6, 1.0),
        (FLOAT - 0.5, 1.0),
        (GREY8.astype(np.int64), 255.0),
        (GREY16.astype(np.uint32), 65535.0),
        (GREY8.astype(np.int16), 32767.0),
        (GREY8 > 9, 1.0),
    ],
)
def test_values_become_unit_values(tmp_path, stored, divisor):
    np.save(tmp_path / "image.npy", stored)
    image = only(images.read_image(tmp_path / "image.npy"))
    np.testing.assert_allclose(image[..., 0], stored.astype(np.float64) / divisor, rtol=1e-5)


def test_a_saved_value_scale_is_followed(tmp_path):
    np.save(tmp_path / "image.npy", FLOAT)  # by itself it would be taken as it is
    image = only(images.read_image(tmp_path / "image.npy", value_scale="255"))
    np.testing.assert_allclose(image[..., 0], FLOAT / 255, rtol=1e-5)


WRITERS = {
    "image.png": lambda path: cv2.imwrite(str(path), GREY16),
    "image.jpg": lambda path: Image.fromarray(RGB8).save(path),
    "image.bmp": lambda path: Image.fromarray(RGB8).save(path),
    "image.npy": lambda path: np.save(path, GREY8),
    "image.tif": lambda path: tifffile.imwrite(path, GREY8),
    "zlib.tif": lambda path: tifffile.imwrite(path, GREY8, compression="zlib"),
    "stack.tif": lambda path: tifffile.imwrite(path, STACK16, photometric="minisblack"),
    "lzw.tif": lambda path: Image.fromarray(GREY8).save(path, compression="tiff_lzw"),
}


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
@pytest.mark.parametrize("name", WRITERS)
def test_a_truncated_file_is_refused_by_name(tmp_path, name, share):
    WRITERS[name](tmp_path / name)
    images.read_image(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    cut = tmp_path / f"cut_{name}"
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=f"cut_{name}"):
        images.read_image(cut)


def test_a_stack_cut_between_its_pages_is_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "stack.tif") as writer:
        for page in STACK16:
            writer.write(page, metadata=None)
    content = (tmp_path / "stack.tif").read_bytes()
    refused = 0
    for length in range(len(content) // 3, len(content), len(content) // 40):
        (tmp_path / "cut.tif").write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"cut\.tif"):
            images.read_image(tmp_path / "cut.tif")
        refused += 1
    assert refused > 20


def test_a_stack_that_ends_with_a_whole_page_is_refused_all_the_same(tmp_path):
    with tifffile.TiffWriter(tmp_path / "stack.tif") as writer:
        for page in STACK16:
            writer.write(page, metadata=None)
    with tifffile.TiffFile(tmp_path / "stack.tif") as tiff:
        ends = [page.offset for page in tiff.pages][2:]
    content = (tmp_path / "stack.tif").read_bytes()
    for end in ends:
        (tmp_path / "cut.tif").write_bytes(content[:end])
        with pytest.raises(ValueError, match=r"cut\.tif: truncated \(its list of pages goes on"):
            images.read_image(tmp_path / "cut.tif")


def test_channels_without_slices(tmp_path):
    stack = RNG.integers(0, 65536, (2, 21, 34), np.uint16)
    tifffile.imwrite(tmp_path / "c.tif", stack, imagej=True, metadata={"axes": "CYX"})
    np.testing.assert_allclose(
        only(images.read_image(tmp_path / "c.tif")), np.moveaxis(stack, 0, -1) / 65535, atol=1e-6
    )


def test_a_damaged_png_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "image.png"), GREY8)
    content = bytearray((tmp_path / "image.png").read_bytes())
    content[len(content) // 2] ^= 0x55
    (tmp_path / "image.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"image\.png: damaged"):
        images.read_image(tmp_path / "image.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.npy"])
@pytest.mark.parametrize("content", [b"", b"this is text, whatever its name says" * 9])
def test_a_file_of_another_kind_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.{name[2:]}: .*expected"):
        images.read_image(tmp_path / name)


def test_a_pickle_in_npy_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a\.npy: cannot be read"):
        images.read_image(tmp_path / "a.npy")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    np.save(tmp_path / "a.npy", np.array([[0.0, value]]))
    with pytest.raises(ValueError, match=r"a\.npy: NaN or infinite values; expected finite"):
        images.read_image(tmp_path / "a.npy")


def test_an_unknown_type_is_refused_with_those_accepted(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match=r"a\.gif: .*accepted are \.png, \.jpg"):
        images.read_image(tmp_path / "a.gif")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.png: there is no such file"):
        images.read_image(tmp_path / "a.png")


@pytest.mark.parametrize("shape", [(4,), (2, 2, 2, 2, 2), (0, 5)])
def test_npy_of_another_shape_is_refused(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(ValueError, match=r"a\.npy: .*shape"):
        images.read_image(tmp_path / "a.npy")


def test_names_beyond_ascii(tmp_path):
    Image.fromarray(GREY8).save(tmp_path / "Zäh lung µ.png")
    check(tmp_path / "Zäh lung µ.png", unit(GREY8))
