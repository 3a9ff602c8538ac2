from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest


def encode_png(rows: np.ndarray, bit_depth: int, colour_type: int, palette=None) -> bytes:
    """A PNG of any depth and colour type: no library at hand writes all of them."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    height, width = rows.shape[:2]
    lines = []
    for row in rows.reshape(height, -1):
        if bit_depth == 16:
            packed = row.astype(">u2").tobytes()
        elif bit_depth == 8:
            packed = row.astype(np.uint8).tobytes()
        else:
            bits = ((row[:, None] >> np.arange(bit_depth - 1, -1, -1)) & 1).astype(np.uint8)
            packed = np.packbits(bits.ravel()).tobytes()
        lines.append(b"\0" + packed)
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header)
    if palette is not None:
        body += chunk(b"PLTE", np.asarray(palette, np.uint8).tobytes())
    body += chunk(b"IDAT", zlib.compress(b"".join(lines))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture(name="encode_png")
def _encode_png():
    return encode_png
