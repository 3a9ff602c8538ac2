from __future__ import annotations

import os

import numpy as np

from keras_unet3p.data._decode import count_images, decode
from keras_unet3p.data.normalization import choose_value_scale, to_unit


def read_image(path: str | os.PathLike, *, value_scale: str | None = None) -> list[np.ndarray]:
    """Read every image of a PNG, JPEG, BMP, TIFF or NPY file in unit values.

    Alpha is dropped and palettes are expanded to colour (to grey if they hold greys only). Each
    page of a TIFF is an image, but an axis that the file calls channels is channels. An NPY array
    is (height, width), (height, width, channels), (images, height, width) or (images, height,
    width, channels); a last axis of at most 16 is channels.

    Args:
        path: the file.
        value_scale: the rule of a saved `Normalization`; by default the one that this file alone
            would get (see `Normalization`).

    Returns:
        One (height, width, channels) float32 array an image.

    Raises:
        ValueError: the file is missing, of another type, unreadable, truncated, holds values that
            are not finite, or does not fit `value_scale`.
    """
    images = [decode(path, index) for index in range(count_images(path))]
    for image in images:
        if image.dtype.kind not in "biuf":
            raise ValueError(f"{path}: values of type {image.dtype}; expected integers or floats")
        if not np.isfinite(image).all():
            raise ValueError(f"{path}: NaN or infinite values; expected finite numbers")
    if value_scale is None:
        value_scale = choose_value_scale(
            [image.dtype for image in images],
            min(float(image.min()) for image in images),
            max(float(image.max()) for image in images),
        )
    return [to_unit(image, value_scale, str(path)) for image in images]
