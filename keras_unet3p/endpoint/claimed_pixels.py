"""The number of pixels that the header of an encoded image claims, read without decoding."""

from __future__ import annotations

import struct

from keras_unet3p.errors import InputError

# Markers of JPEG frame headers: all SOFn, without DHT (C4), JPG (C8) and DAC (CC).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_XL = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n")


def claimed_pixels(data: bytes) -> int | None:
    """Reads the number of pixels from the header of a PNG, JPEG, GIF, BMP or WebP image.

    Decoders allocate the size that the header claims, so a few hundred bytes can make them
    allocate gigabytes. For an animated GIF the result is the sum over its frames, because decoders
    read all of them.

    Args:
        data: the encoded image.

    Returns:
        Height x width as claimed. None if the bytes are in none of these formats or end before
        the size; no decoder accepts the latter.

    Raises:
        ValueError: for JPEG XL, whose size cannot be read this way.
    """
    try:
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            width, height = struct.unpack(">II", data[16:24])
            return width * height
        if data[:2] == b"\xff\xd8":
            return _jpeg(data)
        if data[:4] == b"GIF8":
            return _gif(data)
        if data[:2] == b"BM":
            # A negative height means that the top row is stored first.
            old = struct.unpack("<I", data[14:18])[0] == 12
            width, height = struct.unpack("<HH" if old else "<ii", data[18 : 22 if old else 26])
            return abs(width * height)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError):
        return None
    if data.startswith(_JPEG_XL):
        raise InputError("is JPEG XL, accepted are PNG, JPEG, GIF, BMP and WebP")
    return None


def _jpeg(data: bytes) -> int | None:
    # Markers are searched as in libjpeg, which skips any bytes between segments.
    position = 2
    while True:
        position = data.find(b"\xff", position)
        if position < 0:
            return None
        while data[position] == 0xFF:
            position += 1
        marker = data[position]
        position += 1
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", data[position + 3 : position + 7])
            return height * width
        if marker not in (0x00, 0x01) and not 0xD0 <= marker <= 0xD9:
            length = struct.unpack(">H", data[position : position + 2])[0]
            if length < 2:
                return None
            position += length


def _gif(data: bytes) -> int | None:
    width, height = struct.unpack("<HH", data[6:10])
    position = 13 + _color_table(data[10])
    frames = 0
    try:
        while data[position] != 0x3B:
            if data[position] == 0x21:
                position += 2
            elif data[position] == 0x2C:
                frame_width, frame_height = struct.unpack("<HH", data[position + 5 : position + 9])
                frames += frame_width * frame_height
                position += 11 + _color_table(data[position + 9])
            else:
                break
            while data[position]:
                position += 1 + data[position]
            position += 1
    except (struct.error, IndexError):
        # In a file that ends early, the complete frames still count.
        pass
    return max(width * height, frames)


def _color_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(data: bytes) -> int | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif kind == b"VP8L":
        bits = struct.unpack("<I", data[21:25])[0]
        width, height = (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack("<HH", data[26:30]))
    else:
        return None
    return width * height
