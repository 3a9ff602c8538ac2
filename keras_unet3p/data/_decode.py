"""Image files to arrays of stored values. Each format by the library that reads it faithfully.

OpenCV fills what a truncated file lacks without a word and expands palettes to colour, so files are
checked for completeness here, and palettes are read with Pillow.
"""

from __future__ import annotations

import functools
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".npy")
MOST_NPY_CHANNELS = 16

_PNG_GREY, _PNG_PALETTE, _PNG_GREY_ALPHA = 0, 3, 4
_ALPHA_EXTRA_SAMPLES = (1, 2)  # TIFF: associated and unassociated alpha


def count_images(path: str | os.PathLike) -> int:
    """How many images the file holds: the pages of a TIFF, the planes of an NPY stack, else 1."""
    path = _checked_path(path)
    suffix = path.suffix.lower()
    with _errors_name(path):
        if suffix in (".tif", ".tiff"):
            return len(_tiff_plan(str(path), *_identity(path)))
        if suffix == ".npy":
            array, stacked = _open_npy(path)
            return array.shape[0] if stacked else 1
        return 1


def decode(path: str | os.PathLike, index: int = 0, *, labels: bool = False) -> np.ndarray:
    """One image of a file as (height, width, channels) of the stored type, without alpha.

    With `labels=True` palettes give their indices, and grey values of fewer than eight bits as well
    as inverted ("min is white") TIFF pages give the stored numbers; without it what they show.
    """
    path = _checked_path(path)
    suffix = path.suffix.lower()
    with _errors_name(path):
        if suffix in (".tif", ".tiff"):
            array = _decode_tiff(path, index, labels)
        elif suffix == ".npy":
            stack, stacked = _open_npy(path)
            array = np.array(stack[index] if stacked else stack)
        elif suffix == ".png":
            array = _decode_png(path, labels)
        else:
            array = _decode_with_pillow(path, labels)
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if 0 in array.shape:
        raise ValueError(f"{path}: holds no pixels (shape {array.shape})")
    if array.dtype.byteorder not in ("=", "|"):
        array = array.astype(array.dtype.newbyteorder("="))
    return np.ascontiguousarray(array)


class _errors_name:
    """Turns whatever a decoder raises into a ValueError that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, traceback) -> None:
        if error is None or not isinstance(error, Exception):
            return
        if isinstance(error, ValueError) and str(error).startswith(str(self.path)):
            return
        text = str(error).strip().splitlines()[0] if str(error).strip() else kind.__name__
        raise ValueError(
            f"{self.path}: cannot be read ({text}); expected a complete, undamaged file"
        ) from error


def _checked_path(path: str | os.PathLike) -> Path:
    path = Path(path)
    if path.suffix.lower() not in EXTENSIONS:
        raise ValueError(
            f"{path}: files of type {path.suffix or '(none)'} are not read; "
            f"accepted are {', '.join(EXTENSIONS)}"
        )
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    return path


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _open_npy(path: Path) -> tuple[np.ndarray, bool]:
    """The array, mapped into memory, and whether its first axis counts images."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array, is_stack(array.shape, str(path))


def is_stack(shape: tuple[int, ...], name: str) -> bool:
    """Whether an array of this shape is (images, height, width[, channels])."""
    if len(shape) == 4:
        return True
    if len(shape) == 3:
        return shape[-1] > MOST_NPY_CHANNELS
    if len(shape) == 2:
        return False
    raise ValueError(
        f"{name}: an array of shape {shape}; expected (height, width), (height, width, channels "
        f"up to {MOST_NPY_CHANNELS}), (images, height, width) or (images, height, width, channels)"
    )


def _decode_png(path: Path, labels: bool) -> np.ndarray:
    data = path.read_bytes()
    bit_depth, colour_type = _check_png(data, path)
    if colour_type == _PNG_PALETTE or bit_depth < 8:
        array = _decode_with_pillow(path, labels)
        if labels and colour_type == _PNG_GREY and array.dtype != np.bool_:
            array = array // (255 // (2**bit_depth - 1))  # Pillow spreads them over 0..255
        return array
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ValueError(f"{path}: cannot be read; expected a complete, undamaged PNG file")
    if array.ndim == 3:
        if colour_type in (_PNG_GREY, _PNG_GREY_ALPHA):
            return array[..., 0]
        return array[..., 2::-1]  # OpenCV's order is blue, green, red[, alpha]
    return array


def _check_png(data: bytes, path: Path) -> tuple[int, int]:
    """Bit depth and colour type of a PNG whose every chunk is there and undamaged."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError(f"{path}: not a PNG file; expected one by its name")
    position, header = 8, None
    while True:
        if position + 12 > len(data):
            raise ValueError(f"{path}: truncated ({len(data)} bytes); expected a complete PNG file")
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        if end > len(data):
            raise ValueError(f"{path}: truncated ({len(data)} bytes); expected a complete PNG file")
        body = memoryview(data)[position + 4 : end - 4]
        if zlib.crc32(body) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ValueError(
                f"{path}: damaged (a checksum is wrong); expected an undamaged PNG file"
            )
        kind = bytes(body[:4])
        if kind == b"IHDR":
            header = (body[12], body[13])
        if kind == b"IEND":
            break
        position = end
    if header is None:
        raise ValueError(f"{path}: a PNG file without a header; expected an undamaged PNG file")
    return header


def _decode_with_pillow(path: Path, labels: bool) -> np.ndarray:
    with Image.open(path) as image:
        image.load()  # raises for a truncated file
        return _pillow_to_array(image, labels)


def _pillow_to_array(image: Image.Image, labels: bool) -> np.ndarray:
    if image.mode in ("P", "PA"):
        if labels:
            return np.asarray(image if image.mode == "P" else image.getchannel("P"))
        return _without_equal_channels(np.asarray(image.convert("RGB")))
    if image.mode in ("LA", "La"):
        return np.asarray(image)[..., 0]
    if image.mode in ("RGBA", "RGBX", "RGBa"):
        return np.asarray(image)[..., :3]
    if image.mode in ("1", "L", "RGB", "F") or image.mode.startswith("I"):
        return np.asarray(image)
    if image.mode == "CMYK" and image.format != "TIFF":
        return _jpeg_of_inks_to_colour(image)
    return np.asarray(image.convert("RGB"))  # YCbCr, LAB


def _jpeg_of_inks_to_colour(image: Image.Image) -> np.ndarray:
    """The colours of a CMYK or YCCK JPEG, bit for bit as TensorFlow's decoder gives them.

    That decoder reads the same files in an exported model.
    """
    light = 255 - np.asarray(image).astype(np.uint16)
    if "adobe" not in image.info:
        light = 255 - light  # Pillow takes every such file to be inverted, as Adobe's are.
    return (light[..., :3] * light[..., 3:] // 255).astype(np.uint8)


def _without_equal_channels(colour: np.ndarray) -> np.ndarray:
    """A palette of greys makes a grey image."""
    grey = colour[..., :1]
    return grey if (colour == grey).all() else colour


@functools.lru_cache(maxsize=256)
def _tiff_plan(path: str, size: int, _modified: int) -> tuple[tuple[int, int, int], ...]:
    """Where each image of a TIFF is: (page, -1, -1), or (-1, series, position) if not in one page.

    Every axis but height, width, samples and channels counts images.
    """
    with tifffile.TiffFile(path) as tiff:
        _check_tiff(tiff, path, size)
        plan: list[tuple[int, int, int]] = []
        for number, series in enumerate(tiff.series):
            axes = series.axes
            if "Y" not in axes or "X" not in axes:
                raise ValueError(f"{path}: a TIFF with axes {axes}; expected height and width")
            count = 1
            for axis, length in zip(axes, series.shape, strict=True):
                count *= 1 if axis in "YXSC" else length
            pages = [page for page in series.pages if page is not None]
            if "C" not in axes and len(pages) == count:
                plan.extend((page.index, -1, -1) for page in pages)
            else:
                plan.extend((-1, number, position) for position in range(count))
    if not plan:
        raise ValueError(f"{path}: a TIFF without images")
    return tuple(plan)


def _check_tiff(tiff: tifffile.TiffFile, path: str, size: int) -> None:
    """Raise unless every page's data and the chain of pages lie within the file."""
    last = None
    for page in tiff.pages:
        ends = (o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False))
        if max(ends, default=0) > size or not page.dataoffsets:
            raise ValueError(f"{path}: truncated ({size} bytes); expected a complete TIFF file")
        last = page
    if last is None:
        raise ValueError(f"{path}: a TIFF without pages; expected a complete TIFF file")
    form, handle = tiff.tiff, tiff.filehandle
    handle.seek(last.offset)
    (tags,) = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))
    handle.seek(last.offset + form.tagnosize + tags * form.tagsize)
    pointer = handle.read(form.offsetsize)
    if len(pointer) < form.offsetsize or struct.unpack(form.offsetformat, pointer)[0] != 0:
        raise ValueError(
            f"{path}: truncated (its list of pages goes on beyond its {size} bytes); "
            "expected a complete TIFF file"
        )


def _decode_tiff(path: Path, index: int, labels: bool) -> np.ndarray:
    page_index, series_index, position = _tiff_plan(str(path), *_identity(path))[index]
    with tifffile.TiffFile(path) as tiff:
        if page_index >= 0:
            page = tiff.pages[page_index]
            axes = page.axes
            try:
                array = page.asarray()
            except (ValueError, ImportError) as error:
                if "imagecodecs" not in str(error):
                    raise
                # tifffile reads LZW and JPEG compression only with a further package.
                return _decode_tiff_with_pillow(path, page_index, labels)
        else:
            series = tiff.series[series_index]
            page = series.keyframe
            array, axes = _take_image(series.asarray(), series.axes, position)
        order = [axes.index(axis) for axis in "YXSC" if axis in axes]
        array = array.transpose(order)
        array = array.reshape(*array.shape[:2], -1)
        photometric = page.photometric
        if page.colormap is not None and not labels:
            colours = np.moveaxis(np.asarray(page.colormap), 0, -1)[array[..., 0]]
            if array.dtype == np.uint8:
                colours = (colours >> 8).astype(np.uint8)
            return _without_equal_channels(colours)
        if photometric == tifffile.PHOTOMETRIC.MINISWHITE and not labels:
            return _inverted(array)
        samples = page.samplesperpixel
        if photometric == tifffile.PHOTOMETRIC.RGB and samples > 3:
            return array[..., :3]
        extra = tuple(int(kind) for kind in page.extrasamples)
        if samples == 2 and extra and extra[0] in _ALPHA_EXTRA_SAMPLES:
            return array[..., :1]
        return array


def _take_image(stack: np.ndarray, axes: str, position: int) -> tuple[np.ndarray, str]:
    """The image at a position along all axes that count images, and the axes it has left."""
    counted = [place for place, axis in enumerate(axes) if axis not in "YXSC"]
    where = np.unravel_index(position, [stack.shape[place] for place in counted]) if counted else ()
    selection: list = [slice(None)] * stack.ndim
    for place, number in zip(counted, where, strict=True):
        selection[place] = int(number)
    kept = "".join(axis for axis in axes if axis in "YXSC")
    return stack[tuple(selection)], kept


def _inverted(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.bool_:
        return ~array
    if array.dtype.kind == "u":
        return np.iinfo(array.dtype).max - array
    return array


def _decode_tiff_with_pillow(path: Path, page_index: int, labels: bool) -> np.ndarray:
    with Image.open(path) as image:
        image.seek(page_index)
        if image.mode in ("P", "1", "L", "LA", "RGB", "RGBA", "I;16", "I", "F", "CMYK"):
            bits = image.tag_v2.get(258, (1,))  # type: ignore[attr-defined]
            if image.mode not in ("RGB", "RGBA") or max(bits) <= 8:
                image.load()
                return _pillow_to_array(image, labels)
    # Pillow has no colour images of 16 bits.
    encoded = np.fromfile(path, np.uint8)  # OpenCV crashes on names that are not UTF-8
    pages = (page_index, page_index + 1)
    readable, images = cv2.imdecodemulti(encoded, cv2.IMREAD_UNCHANGED, range=pages)
    if not readable or len(images) != 1:
        raise ValueError(
            f"{path}: its compression is not supported; expected none, deflate, LZW or PackBits"
        )
    array = images[0]
    return array[..., 2::-1] if array.ndim == 3 and array.shape[2] >= 3 else array
