from __future__ import annotations

import os

import numpy as np

from keras_unet3p.data.image_file import ImageFile
from keras_unet3p.data.limits import MAX_PAGES, MAX_PIXELS


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
    """
    file = ImageFile(path, value_scale=value_scale, max_pixels=max_pixels, max_pages=max_pages)
    return list(file)
