"""The same file gives the same values in training (`read_image`) and in the served graph."""

from __future__ import annotations

import functools
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_unet3p.export import ImageDecoder
from keras_unet3p.images import read_image
from tests.images.conftest import encode_png

DEEPEST = {"unit": 65535.0, "raw": 1.0}
# Division by a constant or multiplication by its inverse: what a graph optimizer may swap.
ROUNDING = 2**-23


@functools.cache
def served(channels, value_scale):
    """A function from bytes to pixels: the decoder in a graph of its own, run by a session."""
    with tf.Graph().as_default() as graph:
        encoded = tf.compat.v1.placeholder(tf.string, ())
        image = ImageDecoder(channels, value_scale=value_scale)(encoded)
        return tf.compat.v1.Session(graph=graph).make_callable(image, [encoded])


def check(folder, data, extension):
    path = folder / f"image{extension}"
    path.write_bytes(data)
    for scale, deepest in DEEPEST.items():
        (image,) = read_image(path, value_scale="dtype" if scale == "unit" else scale)
        pixels = served(image.shape[-1], scale)(data)
        assert pixels.shape == image.shape
        np.testing.assert_array_equal(np.rint(image * deepest), pixels)
        np.testing.assert_allclose(image, pixels / np.float32(deepest), rtol=ROUNDING, atol=0)


def picture(height, width, channels, dtype=np.uint8, smooth=1, seed=0):
    coarse = np.random.default_rng(seed).random(
        (height // smooth + 1, width // smooth + 1, channels)
    )
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    image = (fine.clip(0, 1) * np.iinfo(dtype).max).round().astype(dtype)
    return image.reshape(height, width, channels)


def pillow(pixels, mode, kind, **options):
    file = io.BytesIO()
    size = pixels.shape[1::-1]
    Image.frombytes(mode, size, pixels.tobytes()).save(file, kind, **options)
    return file.getvalue()


def opencv(pixels, extension, *options):
    return cv2.imencode(extension, pixels, options)[1].tobytes()


pictures = st.fixed_dictionaries(
    {
        "height": st.integers(1, 70),
        "width": st.integers(1, 70),
        "smooth": st.sampled_from([1, 3, 16]),
        "seed": st.integers(0, 9),
    }
)


@settings(max_examples=40, deadline=None)
@given(
    size=pictures,
    mode=st.sampled_from(["L", "RGB", "CMYK"]),
    sampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    quality=st.sampled_from([20, 75, 95, 100]),
    progressive=st.booleans(),
)
def test_jpeg(tmp_path_factory, size, mode, sampling, quality, progressive):
    pixels = picture(channels=len(Image.new(mode, (1, 1)).getbands()), **size)
    options = {"quality": quality, "progressive": progressive}
    if mode == "RGB":
        options["subsampling"] = sampling
    data = pillow(pixels, mode, "JPEG", **options)
    check(tmp_path_factory.getbasetemp(), data, ".jpg")


def adobe_marker(data):
    """Where the segment in which Adobe names the colours starts and ends."""
    start = data.index(b"\xff\xee")
    (length,) = struct.unpack_from(">H", data, start + 2)
    return start, start + 2 + length


def without_marker(data):
    start, end = adobe_marker(data)
    return data[:start] + data[end:]


def as_ycck(data):
    _, end = adobe_marker(data)
    return data[: end - 1] + b"\2" + data[end:]


@pytest.mark.parametrize("change", [without_marker, as_ycck])
def test_jpeg_of_inks_in_each_convention(tmp_path, change):
    data = pillow(picture(50, 61, 4, smooth=8), "CMYK", "JPEG")
    check(tmp_path, change(data), ".jpg")


def test_jpeg_that_stores_red_green_and_blue(tmp_path):
    data = pillow(picture(50, 61, 3, smooth=8), "RGB", "JPEG", keep_rgb=True)
    check(tmp_path, data, ".jpg")


@settings(max_examples=40, deadline=None)
@given(
    size=pictures,
    channels=st.sampled_from([1, 3, 4]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
)
def test_png_of_opencv(tmp_path_factory, size, channels, dtype):
    pixels = picture(channels=channels, dtype=dtype, **size)
    check(tmp_path_factory.getbasetemp(), opencv(pixels, ".png"), ".png")


@settings(max_examples=30, deadline=None)
@given(
    size=pictures,
    mode=st.sampled_from(["1", "L", "LA", "RGB", "RGBA", "P"]),
    transparent=st.booleans(),
)
def test_png_of_pillow(tmp_path_factory, size, mode, transparent):
    pixels = picture(channels=3, **size)
    image = Image.fromarray(pixels).convert(mode)
    options = {}
    if transparent and mode in ("L", "RGB", "P"):
        options["transparency"] = image.getpixel((0, 0))
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    check(tmp_path_factory.getbasetemp(), file.getvalue(), ".png")


@pytest.mark.parametrize(
    ("chunk", "content"),
    [(b"gAMA", struct.pack(">I", 45455)), (b"sRGB", b"\0"), (b"tRNS", b"\0\7" * 3)],
)
def test_png_with_notes_on_its_colours(tmp_path, chunk, content):
    data = opencv(picture(20, 30, 3, np.uint16), ".png")
    body = chunk + content
    note = struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
    check(tmp_path, data[:33] + note + data[33:], ".png")


@pytest.mark.parametrize("bit_depth", [1, 2, 4])
@pytest.mark.parametrize("colour_type", [0, 3])
def test_png_of_few_bits(tmp_path, bit_depth, colour_type):
    levels = picture(21, 34, 1) >> (8 - bit_depth)
    palette = picture(2**bit_depth, 1, 3)[:, 0] if colour_type == 3 else None
    check(tmp_path, encode_png(levels, bit_depth, colour_type, palette), ".png")


@settings(max_examples=30, deadline=None)
@given(size=pictures, channels=st.sampled_from([1, 3, 4]), by_opencv=st.booleans())
def test_bmp(tmp_path_factory, size, channels, by_opencv):
    pixels = picture(channels=channels, **size)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    data = opencv(pixels, ".bmp") if by_opencv else pillow(pixels, mode, "BMP")
    check(tmp_path_factory.getbasetemp(), data, ".bmp")


def _with_bits(data, bits, compression=0):
    return data[:28] + struct.pack("<HI", bits, compression) + data[34:]


def bmp_with_masks(*masks):
    """A BMP of 32 bits a pixel that says which of them are red, green, blue and alpha."""
    pixels = picture(20, 24, 4).tobytes()
    fields = (56, 24, 20, 1, 32, 3, len(pixels), 0, 0, 0, 0, *masks)
    header = struct.pack("<IiiHHIIiiIIIIII", *fields)
    return struct.pack("<2sIHHI", b"BM", 70 + len(pixels), 0, 0, 70) + header + pixels


GREY_BMP = opencv(picture(20, 24, 1), ".bmp")
COLOUR_BMP = bmp_with_masks(0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def test_bmp_that_names_its_channels_in_the_usual_order(tmp_path):
    check(tmp_path, COLOUR_BMP, ".bmp")


@pytest.mark.parametrize(
    "data",
    [
        _with_bits(COLOUR_BMP, 16),
        _with_bits(GREY_BMP, 8, compression=1),
        _with_bits(GREY_BMP, 4),
        bmp_with_masks(0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        COLOUR_BMP[:14] + struct.pack("<I", 12) + COLOUR_BMP[18:],
        COLOUR_BMP[:60],
    ],
    ids=["16 bits", "run lengths", "4 bits", "other order", "old header", "cut"],
)
def test_a_bmp_whose_bytes_are_not_its_pixels_is_refused(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        served(3, "unit")(data)
