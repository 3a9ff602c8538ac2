"""Images as they are sent to an endpoint and returned: bytes, files, arrays, PNG, numbers."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.errors import InputError
from keras_unet3p.images.unit_values import as_type

Image = bytes | str | Path | np.ndarray

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Formats of which the served graph decodes every variant.
_ENCODED = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def decode_mask(png: bytes) -> np.ndarray:
    """Decodes the PNG of class ids (H, W) that an endpoint sent."""
    mask = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if mask is None or mask.ndim != 2:
        raise EndpointError("UNKNOWN", "The answer is not a PNG of class ids.")
    return mask


def open_image(image: Image) -> bytes | np.ndarray:
    """Returns the bytes of a PNG or JPEG, which are sent unchanged, and else an array."""
    name = "image"
    if isinstance(image, (str, Path)):
        name, path = str(image), Path(image)
        if path.suffix.lower() == ".npy":
            return np.load(path, allow_pickle=False)
        image = path.read_bytes()
    if not isinstance(image, (bytes, bytearray, memoryview)):
        return image
    data = bytes(image)
    return data if data.startswith(_ENCODED) else _decode_array(data, name)


def stored_pixels(image: Image) -> np.ndarray:
    """Returns the values of an image as they are stored, (H, W) or (H, W, C) in any order of C."""
    image = open_image(image)
    return _decode_array(image, "image") if isinstance(image, bytes) else image


def fits_png(image: bytes | np.ndarray) -> bool:
    """Whether PNG can hold an image without loss."""
    if isinstance(image, bytes):
        return True
    pixels = _check(image)
    fits = pixels.dtype.kind in "bf" or pixels.dtype in (np.uint8, np.uint16)
    return fits and pixels.shape[2] in (1, 3, 4)


def encode_image(image: Image) -> bytes:
    """Returns an image as PNG bytes; bytes that are encoded already stay as they are."""
    image = open_image(image)
    if isinstance(image, bytes):
        return image
    pixels = _check(image)
    if pixels.dtype == bool:
        pixels = as_type(pixels, "unit", np.uint8)
    elif pixels.dtype.kind == "f":
        _check_unit(pixels)
        pixels = as_type(pixels, "unit", np.uint16)
    elif pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"image: PNG holds uint8 and uint16, found {pixels.dtype}.")
    if pixels.shape[2] in (3, 4):
        pixels = cv2.cvtColor(
            pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        )
    elif pixels.shape[2] != 1:
        raise InputError(f"image: PNG holds 1, 3 or 4 channels, found shape {pixels.shape}.")
    # Level 1: when sending to a server, speed matters more than size.
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _decode_array(data: bytes, name: str) -> np.ndarray:
    encoded = np.frombuffer(data, np.uint8)
    try:
        if data.startswith(_TIFF):
            _, pages = cv2.imdecodemulti(encoded, cv2.IMREAD_UNCHANGED)
            if len(pages) > 1:
                raise InputError(f"{name} holds {len(pages)} images; give them one by one.")
            pixels = pages[0] if pages else None
        else:
            pixels = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    except cv2.error:  # empty, or more pixels than OpenCV accepts
        pixels = None
    if pixels is None:
        raise InputError(f"{name} cannot be read; accepted are PNG, JPEG, BMP, TIFF and NPY.")
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        pixels = cv2.cvtColor(
            pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        )
    return pixels


def _check(image: np.ndarray) -> np.ndarray:
    if not isinstance(image, np.ndarray):
        raise InputError(f"image: expected bytes, a path or an array, found {type(image)}.")
    pixels = image[..., np.newaxis] if image.ndim == 2 else image
    if pixels.ndim != 3 or not pixels.size or pixels.dtype.kind not in "bufi":
        raise InputError(
            f"image: expected numbers of shape (H, W) or (H, W, C), found {image.dtype} of shape "
            f"{image.shape}."
        )
    return pixels


def _check_unit(pixels: np.ndarray) -> None:
    """Refuses what unsigned integers cannot hold."""
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0.0 and (high <= 1.0 or pixels.dtype.kind in "iu")):
        raise InputError(f"image: floats must lie in [0, 1], found {low:g} to {high:g}.")


def model_pixels(image: Image, dtype: str, channels: int) -> np.ndarray:
    """Converts an image to the type and the number of channels that a model takes."""
    name = str(image) if isinstance(image, (str, Path)) else "image"
    image = open_image(image)
    pixels = _check(_decode_array(image, name) if isinstance(image, bytes) else image)
    if dtype not in ("uint8", "float32"):
        raise EndpointError("UNIMPLEMENTED", f"The model takes {dtype}; expected uint8 or float32.")
    if pixels.dtype != dtype:
        if pixels.dtype.kind in "iu" and pixels.dtype.itemsize > 2:
            raise InputError(
                f"image: integers must have 8 or 16 bits (they are divided by the largest value of "
                f"their type), found {pixels.dtype}."
            )
        if dtype == "uint8":
            _check_unit(pixels)
        pixels = as_type(pixels, "unit", np.dtype(dtype))
    found = pixels.shape[2]
    if channels in (-1, found):
        return pixels
    if found == 4 and channels == 3:
        return pixels[..., :3]
    if found == 1 and channels == 3:
        return np.repeat(pixels, 3, axis=2)
    if found in (3, 4) and channels == 1:
        return cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2GRAY)[..., None]
    raise InputError(f"image: the model takes {channels} channels, found shape {pixels.shape}.")
