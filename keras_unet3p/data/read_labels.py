from __future__ import annotations

import os

import numpy as np

from keras_unet3p.data._decode import decode, images_of
from keras_unet3p.data.limits import MAX_PAGES, MAX_PIXELS, Limits
from keras_unet3p.errors import InputError


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
    """
    limits = Limits(max_pixels, max_pages)
    return [
        as_labels(decode(path, place, limits, labels=True), str(path))
        for place in images_of(path, limits)
    ]


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
