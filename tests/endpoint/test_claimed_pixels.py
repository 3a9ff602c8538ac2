from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_unet3p.endpoint.claimed_pixels import claimed_pixels


def encode(kind: str, height: int, width: int, **options) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"exif": b"Exif\x00\x00" + b"\xff\xc0" * 3000, "comment": b"\xff\xc0\x00\x11"}),
        ("GIF", {}),
        ("BMP", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\x00\x00abcd"}),
    ],
)
def test_reads_what_an_encoder_wrote(kind, options):
    for height, width in ((1, 1), (37, 301)):
        assert claimed_pixels(encode(kind, height, width, **options)) == height * width


def test_frames_of_an_animation_add_up():
    frames = [Image.fromarray(np.full((30, 40), value, np.uint8)) for value in (0, 90, 255)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    assert claimed_pixels(stream.getvalue()) == 3 * 30 * 40
    # Cut off, the frames that are there still count.
    assert claimed_pixels(stream.getvalue()[:-20]) >= 2 * 30 * 40


def test_rubbish_before_a_jpegs_frame_does_not_hide_its_size():
    data = encode("JPEG", 9, 11)
    assert claimed_pixels(data[:2] + b"\x00rubbish\xff\xff\x00\xff" + data[2:]) == 99


def test_top_down_and_old_bitmaps():
    header = b"BM" + b"\0" * 12 + struct.pack("<Iii", 40, 5, -7)
    assert claimed_pixels(header) == 35
    assert claimed_pixels(b"BM" + b"\0" * 12 + struct.pack("<IHH", 12, 60000, 60000)) == 60000**2


def test_jpeg_xl_is_refused():
    for start in (b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n"):
        with pytest.raises(ValueError, match="JPEG XL"):
            claimed_pixels(start + b"anything")


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP"]).map(lambda kind: encode(kind, 6, 7)),
    st.integers(8, 300),
    st.binary(max_size=40),
)
def test_no_bytes_make_it_fail(data, length, rest):
    assume(not rest.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL")))
    for given_bytes in (data[:length] + rest, rest):
        pixels = claimed_pixels(given_bytes)
        assert pixels is None or pixels >= 0
