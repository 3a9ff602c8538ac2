"""Label images, written as files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from keras_unet3p.errors import InputError
from keras_unet3p.files import naming_full_disk, printable, replacing
from keras_unet3p.images.pictures import write_picture
from keras_unet3p.images.plane import LARGE

_TILE = 512
_SMALLEST_LEVEL = 1024  # side at which the pyramid of a large mask ends
MASK_FORMATS = {"png": ".png", "tiff": ".tif"}
"""The formats of masks and the suffixes of their files."""


def write_labels(path: str | os.PathLike[str], labels: np.ndarray) -> None:
    """Write class or instance ids atomically, in as many bits as the largest one takes.

    Args:
        path: a `.png` holds ids up to 65,535 with 8 or 16 bits, a `.tif` any with 8, 16 or 32,
            compressed without loss; of more than 2^26 pixels as an OME-TIFF with tiles and a
            pyramid.
        labels: (H, W) integers from 0. What is given as uint8 stays so; of wider types the 16 bits
            are kept, that a set of masks has one type.

    Raises:
        ValueError: the ids are too large for the file, or it has another suffix.
        OSError: the file cannot be written.

    Example:
        >>> write_labels("ids.tif", np.array([[0, 70000]]))
        >>> tifffile.imread("ids.tif").dtype
        dtype('uint32')
    """
    suffix = Path(path).suffix
    labels = np.asarray(labels)
    largest = int(labels.max(initial=0))
    if labels.dtype != np.uint8:
        labels = labels.astype(np.uint16 if largest <= np.iinfo(np.uint16).max else np.uint32)
    if suffix == ".png":
        if labels.dtype == np.uint32:
            raise InputError(
                f"{printable(path)}: {largest} instances; a PNG of 16 bits holds "
                f"{np.iinfo(np.uint16).max}; take TIFF"
            )
        write_picture(path, labels)
        return
    if suffix != ".tif":
        raise InputError(f"{printable(path)}: labels are written as .png or .tif")
    with replacing(path) as temporary, naming_full_disk(path):
        if labels.size > LARGE:
            _write_pyramid(temporary, labels)
            return
        with temporary.open("wb") as file:
            tifffile.imwrite(file, labels, compression="zlib", photometric="minisblack")


def _write_pyramid(path: Path, labels: np.ndarray) -> None:
    """Large labels as an OME-TIFF of tiles, with smaller levels by the nearest label.

    Of labels that are mapped from the disk a row of tiles is in memory.
    """
    levels = [labels]
    while max(levels[-1].shape) > _SMALLEST_LEVEL:
        levels.append(levels[-1][::2, ::2])
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as file:
        for number, level in enumerate(levels):
            first = number == 0
            file.write(
                _tiles(level),
                shape=level.shape,
                dtype=level.dtype,
                tile=(_TILE, _TILE),
                compression="zlib",
                photometric="minisblack",
                subifds=len(levels) - 1 if first else None,
                subfiletype=0 if first else 1,
                metadata={"axes": "YX"} if first else None,
            )


def _tiles(labels: np.ndarray) -> Iterator[np.ndarray]:
    for top in range(0, labels.shape[0], _TILE):
        for left in range(0, labels.shape[1], _TILE):
            tile = np.ascontiguousarray(labels[top : top + _TILE, left : left + _TILE])
            missing = [(0, _TILE - side) for side in tile.shape]
            yield np.pad(tile, missing)
