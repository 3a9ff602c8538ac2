from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from keras_unet3p import data


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


class FolderMaker:
    """Writes images and masks below a folder, as NPY unless a writer is given."""

    def __init__(self, root: Path) -> None:
        self.images, self.masks = root / "images", root / "masks"
        self.images.mkdir()
        self.masks.mkdir()

    def add(self, name: str, image: np.ndarray | None, mask: np.ndarray | None) -> None:
        if image is not None:
            np.save(self.images / f"{name}.npy", image)
        if mask is not None:
            np.save(self.masks / f"{name}.npy", mask)

    def open(self, **options) -> data.ImageFolder:
        return data.open_folder(self.images, self.masks, **options)


@pytest.fixture
def folder(tmp_path) -> FolderMaker:
    return FolderMaker(tmp_path)


@pytest.fixture(scope="session")
def cells() -> data.ImageFolder:
    """Eight small drawn images of several sizes with instances."""
    sizes = [(64, 80), (96, 64), (72, 72), (80, 100), (64, 64), (100, 90), (33, 47), (64, 96)]
    pairs = [data.generate_cells(size, seed=seed) for seed, size in enumerate(sizes)]
    return data.open_folder(
        [image for image, _ in pairs], [labels for _, labels in pairs], mask_kind="instances"
    )
