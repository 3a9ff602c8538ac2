"""Whole files at once: the images in unit values, the masks as they are stored."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.images.file_source import expand
from keras_unet3p.images.image_file import ImageFile
from keras_unet3p.images.limits import MAX_PAGES, MAX_PIXELS, Limits


def read_image(
    path: str | os.PathLike,
    *,
    value_scale: str | None = None,
    max_pixels: int = MAX_PIXELS,
    max_pages: int = MAX_PAGES,
) -> list[np.ndarray]:
    """Read every image of a PNG, JPEG, BMP, TIFF or NPY file in unit values.

    Alpha is dropped and palettes are expanded to colour (to grey if they hold greys only). Each
    page of a TIFF is an image, but an axis that the file calls channels is channels. An NPY array
    is (height, width), (height, width, channels), (images, height, width) or (images, height,
    width, channels); a last axis of at most 16 is channels. `ImageFile` reads them one by one.

    Args:
        path: the file.
        value_scale: the rule of a saved `Normalization`; by default the one that this file alone
            would get (see `Normalization`). Where that is a guess, a warning says by what evidence.
        max_pixels: an image of more pixels is refused, before it is decoded; see `Limits`.
        max_pages: so is a file of more images.

    Returns:
        One (height, width, channels) float32 array an image.

    Raises:
        ValueError: the file is missing, of another type, unreadable, truncated, beyond the limits,
            holds values that are not finite or a few that are defects (a million times farther out
            than the range of the others), or does not fit `value_scale`.

    Example:
        >>> np.save("image.npy", np.full((8, 9), 255, np.uint8))
        >>> (image,) = read_image("image.npy")
        >>> image.shape, image.dtype, float(image.max())
        ((8, 9, 1), dtype('float32'), 1.0)
    """
    file = ImageFile(path, value_scale=value_scale, max_pixels=max_pixels, max_pages=max_pages)
    return list(file)


def read_labels(
    path: str | os.PathLike, *, max_pixels: int = MAX_PIXELS, max_pages: int = MAX_PAGES
) -> list[np.ndarray]:
    """Read every mask of a PNG, JPEG, BMP, TIFF or NPY file as it is stored.

    Palette images give their indices, colour images whose channels are equal one of them, alpha is
    dropped, and floats must hold whole numbers.

    Args:
        path: the file.
        max_pixels: as `read_image`.
        max_pages: as `read_image`.

    Returns:
        One (height, width) int32 array a mask.

    Raises:
        ValueError: the file is missing, of another type, unreadable or truncated, beyond the
            limits, has channels that differ, or holds values that are not whole numbers from 0 to
            2**31 - 1.

    Example:
        >>> np.save("mask.npy", np.eye(4, dtype=np.uint8))
        >>> (mask,) = read_labels("mask.npy")
        >>> mask.shape, mask.dtype
        ((4, 4), dtype('int32'))
    """
    limits = Limits(max_pixels, max_pages)
    sources = expand(Path(path), limits, labels=True)
    return [as_labels(source.read(labels=True), str(path)) for source in sources]


def as_labels(mask: np.ndarray, name: str) -> np.ndarray:
    """(height, width[, channels]) of any type to (height, width) int32 with the same values."""
    if mask.ndim == 3:
        if not all(np.array_equal(mask[..., 0], mask[..., k]) for k in range(1, mask.shape[2])):
            raise InputError(
                f"{name}: a mask of {mask.shape[2]} differing channels; expected one channel, "
                "equal channels, or a palette whose indices are the labels"
            )
        mask = mask[..., 0]
    if mask.dtype.kind not in "biuf":
        raise InputError(f"{name}: a mask of type {mask.dtype}; expected integers or bool")
    if mask.dtype.kind == "f":
        if not np.isfinite(mask).all():
            raise InputError(f"{name}: a mask with NaN or infinite values; expected whole numbers")
        odd = mask[mask != np.rint(mask)]
        if odd.size:
            raise InputError(f"{name}: a mask with the value {odd[0]:g}; expected whole numbers")
    if mask.dtype.kind != "b" and (mask.min() < 0 or mask.max() > np.iinfo(np.int32).max):
        raise InputError(
            f"{name}: a mask with values from {mask.min():g} to {mask.max():g}; "
            "expected whole numbers from 0 to 2147483647"
        )
    return mask.astype(np.int32)
