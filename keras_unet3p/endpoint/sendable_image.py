"""Files that a browser does not read, in the form in which a model takes them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_unet3p.artifacts import CardNormalization
from keras_unet3p.client.sent_images import encode_image
from keras_unet3p.errors import InputError
from keras_unet3p.images.file_source import expand
from keras_unet3p.images.limits import Limits
from keras_unet3p.images.unit_values import as_type, check_scale, scaled

_SUFFIXES = {
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"II+\0": ".tif",
    b"MM\0+": ".tif",
    b"\x93NUM": ".npy",
}
_OF_PNG = (np.dtype(np.uint8), np.dtype(np.uint16))


class SendableImage(NamedTuple):
    """An image of a file.

    Attributes:
        png: what the signatures for encoded images take, of 8 or 16 bits; None where a PNG cannot
            hold the values.
        pixels: then (H, W, C), what the signatures for pixels take.
        pages: number of images in the file.
        stored: type of the values in the file.
    """

    png: bytes | None
    pixels: np.ndarray | None
    pages: int
    stored: str


def sendable_image(
    data: bytes | bytearray,
    name: str,
    page: int,
    normalization: CardNormalization,
    max_pixels: int,
) -> SendableImage:
    """Reads an image of a TIFF or NPY file as `predict` does.

    Integers of 8 and 16 bits stay as they are. Other values are made unit values by the model
    card's rule, and travel with 16 bits; those of a model that takes stored values travel as
    numbers where a PNG cannot hold them.

    Args:
        data: the file's bytes.
        name: of the file, for messages.
        page: which of its images, from 0 on.
        normalization: the model card's rule for values, and the type of pixels that it takes.
        max_pixels: largest height times width.

    Raises:
        ValueError: the file is no TIFF or NPY file, damaged, too large, has no such page, or holds
            values that the model does not take.
    """
    suffix = _SUFFIXES.get(bytes(data[:4]))
    if suffix is None:
        raise InputError(f"{name}: not a TIFF or NPY file")
    with tempfile.TemporaryDirectory(prefix="unet3p-page-") as folder:
        path = Path(folder) / f"image{suffix}"
        path.write_bytes(data)
        try:
            sources = expand(path, Limits(max_pixels))
            if not 0 <= page < len(sources):
                raise InputError(f"{path}: holds {len(sources)} images, no image {page + 1}")
            image = sources[page].read(labels=False)
            png, pixels = _converted(image, str(path), normalization)
        except InputError as error:
            raise InputError(str(error).replace(str(path), name)) from None
    return SendableImage(png, pixels, len(sources), image.dtype.name)


def _converted(
    image: np.ndarray, name: str, normalization: CardNormalization
) -> tuple[bytes | None, np.ndarray | None]:
    scale = normalization.value_scale
    check_scale(image, scale, name)
    if image.shape[2] in (1, 3):
        if image.dtype in _OF_PNG:
            return encode_image(image), None
        is_negative = image.dtype.kind == "i" and image.min() < 0
        if not normalization.is_raw and not is_negative:
            unit = image if image.dtype == bool else np.clip(scaled(image, scale), 0.0, 1.0)
            return encode_image(unit), None
    wanted = normalization.input_dtype
    if wanted == "float32" or image.dtype == wanted:
        return None, as_type(image, scale, np.dtype(wanted))
    raise InputError(
        f"{name}: {image.shape[2]} channels of {image.dtype}; the model takes pixels of type "
        f"{wanted or 'unknown'}, and a PNG holds 1 or 3 channels of uint8 or uint16"
    )
