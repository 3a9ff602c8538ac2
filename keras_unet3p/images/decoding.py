"""Image files to arrays of stored values. Each format by the library that reads it faithfully.

OpenCV fills what a truncated file lacks without a word and expands palettes to colour, so files are
checked for completeness here, and palettes are read with Pillow.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, BinaryIO, cast

import cv2
import numpy as np
import tifffile
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from keras_unet3p.errors import InputError, UserError
from keras_unet3p.files import printable
from keras_unet3p.images.limits import Limits
from keras_unet3p.images.tiff_plan import TiffImage, counts, tiff_images

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".npy")
MOST_NPY_CHANNELS = 16

_PNG_GREY, _PNG_PALETTE, _PNG_GREY_ALPHA = 0, 3, 4
_ALPHA_EXTRA_SAMPLES = (1, 2)  # TIFF: associated and unassociated alpha
_BIG_TIFF = 43
_PILLOW_OPENERS = {
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
}

# One image of a file: its plane in an NPY stack, 0 where the file holds one, or where in a TIFF.
Place = int | TiffImage


def images_of(path: str | os.PathLike, limits: Limits) -> Sequence[Place]:
    """Where the images of a file are: the pages of a TIFF, the planes of an NPY stack, else one.

    Raises:
        ValueError: the file is missing, of another type or damaged, or beyond the limits.
    """
    path = _checked_path(path)
    suffix = path.suffix.lower()
    with errors_name(path):
        if suffix in (".tif", ".tiff"):
            return tiff_images(path, limits)
        if suffix == ".npy":
            array, stacked = _open_npy(path)
            count = array.shape[0] if stacked else 1
            limits.check_pages(path, count)
            limits.check_pixels(path, *(array.shape[1:] if stacked else array.shape))
            return range(count)
        return range(1)


def decode(
    path: str | os.PathLike, place: Place, limits: Limits, *, labels: bool = False
) -> np.ndarray:
    """One image of a file as (height, width, channels) of the stored type, without alpha.

    With `labels=True` palettes give their indices, and grey values of fewer than eight bits as well
    as inverted ("min is white") TIFF pages give the stored numbers; without it what they show.

    Args:
        path: the file.
        place: one of `images_of`.
        limits: as those of `images_of`.
        labels: see above.
    """
    path = _checked_path(path)
    with errors_name(path):
        if isinstance(place, TiffImage):
            array = _decode_tiff(path, place, labels)
        elif path.suffix.lower() == ".npy":
            stack, stacked = _open_npy(path)
            array = np.array(stack[place] if stacked else stack)
        elif path.suffix.lower() == ".png":
            array = _decode_png(path, limits, labels)
        else:
            array = _decode_with_pillow(path, limits, labels)
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if 0 in array.shape:
        raise InputError(f"{printable(path)}: holds no pixels (shape {array.shape})")
    if array.dtype.byteorder not in ("=", "|"):
        array = array.astype(array.dtype.newbyteorder("="))
    return np.ascontiguousarray(array)


class errors_name:
    """Turns whatever a decoder raises into a ValueError that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, traceback) -> None:
        if error is None or not isinstance(error, Exception):
            return
        if isinstance(error, UserError) and not isinstance(error, ValueError):
            return  # a package is missing
        raw, shown = f"{self.path}: ", f"{printable(self.path)}: "
        if isinstance(error, ValueError) and str(error).startswith((raw, shown)):
            if raw == shown or str(error).startswith(shown):
                return
            raise InputError(shown + str(error)[len(raw) :]) from error
        text = str(error).strip().splitlines()[0] if str(error).strip() else kind.__name__
        raise InputError(
            f"{shown}cannot be read ({printable(text)}); expected a complete, undamaged file"
        ) from error


def _checked_path(path: str | os.PathLike) -> Path:
    path = Path(path)
    if path.suffix.lower() not in EXTENSIONS:
        raise InputError(
            f"{printable(path)}: files of type {printable(path.suffix) or '(none)'} are not read; "
            f"accepted are {', '.join(EXTENSIONS)}"
        )
    if not path.is_file():
        raise InputError(f"{printable(path)}: there is no such file")
    return path


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
    raise InputError(
        f"{name}: an array of shape {shape}; expected (height, width), (height, width, channels "
        f"up to {MOST_NPY_CHANNELS}), (images, height, width) or (images, height, width, channels)"
    )


def _decode_png(path: Path, limits: Limits, labels: bool) -> np.ndarray:
    data = path.read_bytes()
    width, height, bit_depth, colour_type = _check_png(data, path)
    limits.check_pixels(path, height, width)
    if colour_type == _PNG_PALETTE or bit_depth < 8:
        array = _decode_with_pillow(path, limits, labels)
        if labels and colour_type == _PNG_GREY and array.dtype != np.bool_:
            array = array // (255 // (2**bit_depth - 1))  # Pillow spreads them over 0..255
        return array
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise InputError(f"{path}: cannot be read; expected a complete, undamaged PNG file")
    if array.ndim == 3:
        if colour_type in (_PNG_GREY, _PNG_GREY_ALPHA):
            return array[..., 0]
        return array[..., 2::-1]  # OpenCV's order is blue, green, red[, alpha]
    return array


def _check_png(data: bytes, path: Path) -> tuple[int, int, int, int]:
    """Width, height, bit depth and colour type of a PNG whose chunks are all there, undamaged."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise InputError(f"{path}: not a PNG file; expected one by its name")
    position, header = 8, None
    while True:
        if position + 12 > len(data):
            raise InputError(f"{path}: truncated ({len(data)} bytes); expected a complete PNG file")
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        if end > len(data):
            raise InputError(f"{path}: truncated ({len(data)} bytes); expected a complete PNG file")
        body = memoryview(data)[position + 4 : end - 4]
        if zlib.crc32(body) != struct.unpack_from(">I", data, end - 4)[0]:
            raise InputError(
                f"{path}: damaged (a checksum is wrong); expected an undamaged PNG file"
            )
        kind = bytes(body[:4])
        if kind == b"IHDR":
            header = struct.unpack_from(">IIBB", body, 4)
        if kind == b"IEND":
            break
        position = end
    if header is None:
        raise InputError(f"{path}: a PNG file without a header; expected an undamaged PNG file")
    return header


def _decode_with_pillow(path: Path, limits: Limits, labels: bool) -> np.ndarray:
    with open(path, "rb") as file:
        start = file.read(8)
    for signature, opener in _PILLOW_OPENERS.items():
        if start.startswith(signature):
            # The format's own class: `Image.open` has a limit of its own, which is the process's.
            with opener(path) as image:
                limits.check_pixels(path, image.height, image.width, len(image.getbands()))
                image.load()  # raises for a truncated file
                return _pillow_to_array(image, labels)
    raise InputError(f"{path}: not a JPEG, BMP or PNG file; expected one by its name")


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


def _decode_tiff(path: Path, image: TiffImage, labels: bool) -> np.ndarray:
    with tifffile.TiffFile(path) as tiff:
        if image.directories:
            page = _tiff_page(tiff, image.directories[0])
            try:
                array = page.asarray()
            except (ValueError, ImportError) as error:
                if "imagecodecs" not in str(error):
                    raise
                # tifffile reads LZW and JPEG compression only with a further package.
                pages = [_decode_foreign_tiff(path, at, labels) for at in image.directories]
                return pages[0] if len(pages) == 1 else np.concatenate(pages, axis=-1)
            if len(image.directories) > 1:
                others = [_tiff_page(tiff, at).asarray() for at in image.directories[1:]]
                array = np.stack([array, *others])
            axes = image.axes
        else:
            series = tiff.series[image.series]
            page = series.keyframe
            array, axes = _take_image(_series_array(tiff, series), image.axes, image.position)
            array = np.array(array)  # not a view of the file
        order = [axes.index(axis) for axis in "YXSC" if axis in axes]
        array = array.transpose(order)
        array = array.reshape(*array.shape[:2], -1)
        return shown_values(page, array, labels)


def shown_values(page: tifffile.TiffPage, array: np.ndarray, labels: bool) -> np.ndarray:
    """What a page's stored values (h, w, samples) show, without alpha; of masks what is stored.

    Args:
        page: the page, or another one like it.
        array: its values, or those of a part of it.
        labels: whether it is a mask.
    """
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


def _tiff_page(tiff: tifffile.TiffFile, directory: int) -> tifffile.TiffPage:
    """The page whose directory lies there, without a walk along those before it."""
    index = int(directory != tiff.pages.first.offset)  # whether it is the first is all that counts
    tiff.filehandle.seek(directory)
    return tifffile.TiffPage(tiff, index=index)


def _series_array(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> np.ndarray:
    """A series as an array, mapped into memory where its values lie side by side in the file."""
    if series.dataoffset is None:
        return series.asarray()
    kind = series.dtype.newbyteorder(tiff.byteorder)
    return tiff.filehandle.memmap_array(kind, series.shape, series.dataoffset)


def _take_image(stack: np.ndarray, axes: str, position: int) -> tuple[np.ndarray, str]:
    """The image at a position along all axes that count images, and the axes it has left."""
    counted = [place for place, axis in enumerate(axes) if counts(axis)]
    where = np.unravel_index(position, [stack.shape[place] for place in counted]) if counted else ()
    selection: list = [slice(None)] * stack.ndim
    for place, number in zip(counted, where, strict=True):
        selection[place] = int(number)
    kept = "".join(axis for axis in axes if not counts(axis))
    return stack[tuple(selection)], kept


def _inverted(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.bool_:
        return ~array
    if array.dtype.kind == "u":
        return np.iinfo(array.dtype).max - array
    return array


def _decode_foreign_tiff(path: Path, directory: int, labels: bool) -> np.ndarray:
    """The page whose directory lies there, of a compression that tifffile does not read itself."""
    with open(path, "rb") as file, _file_from_page(file, directory) as mapped:
        with TiffImagePlugin.TiffImageFile(cast("IO[bytes]", mapped)) as image:
            if image.mode in ("P", "1", "L", "LA", "RGB", "RGBA", "I;16", "I", "F", "CMYK"):
                bits = image.tag_v2.get(258, (1,))
                if image.mode not in ("RGB", "RGBA") or max(bits) <= 8:
                    image.load()
                    return _pillow_to_array(image, labels)
        # Pillow has no colour images of 16 bits.
        array = cv2.imdecode(np.frombuffer(mapped, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise InputError(
            f"{path}: its compression is not supported; expected none, deflate, LZW or PackBits"
        )
    return array[..., 2::-1] if array.ndim == 3 and array.shape[2] >= 3 else array


class _MappedFile(mmap.mmap):
    """A file as it is, but for what was written to the map; libtiff may read the file itself."""

    descriptor: int

    def fileno(self) -> int:
        return self.descriptor


def _file_from_page(file: BinaryIO, directory: int) -> _MappedFile:
    """A TIFF whose list of pages begins with the one whose directory lies there."""
    mapped = _MappedFile(file.fileno(), 0, access=mmap.ACCESS_COPY)
    mapped.descriptor = file.fileno()
    order = "<" if mapped[:2] == b"II" else ">"
    big = struct.unpack(f"{order}H", mapped[2:4])[0] == _BIG_TIFF
    struct.pack_into(f"{order}{'Q' if big else 'I'}", mapped, 8 if big else 4, directory)
    return mapped
