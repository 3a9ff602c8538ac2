"""Where the images of a TIFF lie, found once, so that each is then read without its neighbours."""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from keras_unet3p.errors import InputError
from keras_unet3p.images.limits import Limits

_UNKNOWN = "IQ"  # tifffile's letters for axes that a file does not tell


@dataclasses.dataclass(frozen=True)
class TiffImage:
    """One image of a TIFF.

    Attributes:
        directories: offsets of the pages that make it: one, or one per channel; () for an image
            that shares its page with others.
        axes: of the pages together, one letter each as tifffile names them.
        series: number of the series, where the image shares its page.
        position: its place in the series, counted along all axes that are not within an image.
        told: whether the file says what its pages are: slices, frames, channels.
    """

    directories: tuple[int, ...]
    axes: str
    series: int = 0
    position: int = 0
    told: bool = True


def tiff_images(path: Path, limits: Limits) -> list[TiffImage]:
    """The images of a TIFF, after every page's claims were checked.

    Every axis but height, width, samples and channels counts images.

    Raises:
        ValueError: the list of pages runs in a circle or beyond the file, pages' data do, or there
            are more images or pixels than `limits` allow.
    """
    with tifffile.TiffFile(path) as tiff:
        check_chain(tiff, path, limits)
        for page in tiff.pages:
            check_page(page, path, limits)
        images: list[TiffImage] = []
        for number, series in enumerate(tiff.series):
            if "Y" not in series.axes or "X" not in series.axes:
                raise InputError(
                    f"{path}: a TIFF with axes {series.axes}; expected height and width"
                )
            sizes = zip(series.axes, series.shape, strict=True)
            count = math.prod(size for axis, size in sizes if counts(axis))
            limits.check_pages(path, len(images) + count)
            told = count == 1 or not set(series.axes) & set(_UNKNOWN)
            found = _series_images(tiff, series, number, count, path, limits)
            images.extend(image if told else _untold(image) for image in found)
    if not images:
        raise InputError(f"{path}: a TIFF without images")
    return images


def _untold(image: TiffImage) -> TiffImage:
    return dataclasses.replace(image, told=False)


def counts(axis: str) -> bool:
    """Whether an axis counts images rather than being one within an image."""
    return axis not in "YXSC"


def _series_images(
    tiff: tifffile.TiffFile,
    series: tifffile.TiffPageSeries,
    number: int,
    count: int,
    path: Path,
    limits: Limits,
) -> Iterator[TiffImage]:
    pages, keyframe = list(series.pages), series.keyframe
    split = series.ndim - len(keyframe.shape)
    leading, within = series.shape[:split], series.axes[split:]
    offsets = [page.offset for page in pages if page is not None and page.parent is tiff]
    if (
        len(offsets) == len(pages)
        and len(pages) == math.prod(leading)
        and series.shape[split:] == keyframe.shape
        and not any(map(counts, within))
    ):
        # Channels that are pages of their own go behind the axes that count images.
        channels = [place for place, axis in enumerate(series.axes[:split]) if axis == "C"]
        order = np.arange(len(pages)).reshape(leading)
        order = np.moveaxis(order, channels, range(split - len(channels), split))
        for group in order.reshape(count, -1).tolist():
            directories = tuple(offsets[place] for place in group)
            yield TiffImage(directories, "C" * (len(directories) > 1) + within)
        return
    if series.dataoffset is None:  # then only the whole series can be read
        limits.check_pixels(path, math.prod(series.shape), 1)
    elif series.dataoffset + series.nbytes > tiff.filehandle.size:
        raise InputError(_truncated(tiff, path))
    sizes = dict(zip(series.axes, series.shape, strict=True))
    others = sizes.get("S", 1) * sizes.get("C", 1)
    limits.check_pixels(path, sizes["Y"], sizes["X"], others)
    for position in range(count):
        yield TiffImage((), series.axes, number, position)


def check_chain(tiff: tifffile.TiffFile, path: Path, limits: Limits) -> None:
    """Walk the list of pages, before anything that would walk it for ever."""
    form, handle = tiff.tiff, tiff.filehandle
    size = handle.size
    handle.seek(4 if form.offsetsize == 4 else 8)
    offset = _unpack(handle.read(form.offsetsize), form.offsetformat)
    seen: set[int] = set()
    while offset:
        if offset in seen:
            raise InputError(
                f"{path}: damaged (its list of pages runs in a circle after {len(seen)} pages); "
                "expected an undamaged TIFF file"
            )
        tags = pointer = None
        if offset is not None:
            seen.add(offset)
            limits.check_pages(path, len(seen), more=True)
            handle.seek(offset)
            tags = _unpack(handle.read(form.tagnosize), form.tagnoformat)
        if tags is not None:
            handle.seek(offset + form.tagnosize + tags * form.tagsize)
            pointer = _unpack(handle.read(form.offsetsize), form.offsetformat)
        if pointer is None:
            raise InputError(
                f"{path}: truncated (its list of pages goes on beyond its {size} bytes); "
                "expected a complete TIFF file"
            )
        offset = pointer
    if not seen:
        raise InputError(f"{path}: a TIFF without pages; expected a complete TIFF file")


def _unpack(data: bytes, form: str) -> int | None:
    return struct.unpack(form, data)[0] if len(data) == struct.calcsize(form) else None


def check_page(page, path: Path, limits: Limits, *, whole: bool = True) -> None:
    """Check what a page claims: its size, where it is read as a whole, its tiles', where they lie.

    Raises:
        ValueError: it claims too much, or is truncated.
    """
    if whole:
        limits.check_pixels(
            path, page.imagelength, page.imagewidth, page.samplesperpixel * page.imagedepth
        )
    # A tile is decoded whole, even where the image is smaller.
    limits.check_pixels(path, page.tilelength, page.tilewidth, page.samplesperpixel)
    ends = (o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False))
    if max(ends, default=0) > page.parent.filehandle.size or not page.dataoffsets:
        raise InputError(_truncated(page.parent, path))


def _truncated(tiff: tifffile.TiffFile, path: Path) -> str:
    return f"{path}: truncated ({tiff.filehandle.size} bytes); expected a complete TIFF file"
