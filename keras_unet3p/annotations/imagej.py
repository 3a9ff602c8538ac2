"""ROIs of ImageJ and Fiji: a `.roi` file for each, or a `.zip` of the ROI Manager for an image."""

from __future__ import annotations

import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from roifile import ROI_TYPE, ImagejRoi

from keras_unet3p.annotations.annotated_image import AnnotatedImage
from keras_unet3p.annotations.annotated_object import OBJECT, AnnotatedObject
from keras_unet3p.annotations.annotation_set import AnnotationSet
from keras_unet3p.annotations.entries import Problems
from keras_unet3p.annotations.geojson import number_of
from keras_unet3p.annotations.image_sizes import KnownImage, find_image
from keras_unet3p.annotations.object_image import ObjectImage
from keras_unet3p.annotations.raster import checked_ring, ellipse, polygon_pixels, rectangle
from keras_unet3p.config import MAX_PIXELS
from keras_unet3p.errors import InputError
from keras_unet3p.files import printable, reason, replacing
from keras_unet3p.postprocessing import outlines_rois

SUFFIX = ".rois.zip"
_LARGEST = 2**26  # bytes of one region
_OF_AREA = (
    ROI_TYPE.POLYGON,
    ROI_TYPE.FREEHAND,
    ROI_TYPE.TRACED,
    ROI_TYPE.RECT,
    ROI_TYPE.OVAL,
)
_NAME = re.compile(r"(\d+)(?: (.+))?", re.ASCII)
_BROKEN = (ValueError, LookupError, TypeError, OverflowError, RuntimeError, struct.error)
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


def read_imagej(
    path: str | os.PathLike[str],
    images: Mapping[str, KnownImage],
    *,
    max_pixels: int = MAX_PIXELS,
) -> AnnotationSet:
    """Read polygons, freehand and traced regions, rectangles, ovals and composite regions.

    Points and lines are left out. A region's class is what follows the number in its name (`12
    nucleus`), or its group.

    Args:
        path: a `.roi` or a `.zip`; its stem, without `.rois`, is that of the image.
        images: of `known_images`: the file tells no size.
        max_pixels: larger images are refused.

    Raises:
        ValueError: the file or regions in it are broken; all of them are told.

    Example:
        >>> image = ObjectImage("a", "a.png", np.array([[0, 7, 7]]), {7: "cell"})
        >>> write_imagej("a.rois.zip", image)
        >>> found = read_imagej("a.rois.zip", {"a": KnownImage("a.png", 1, 3)})
        >>> found.labels(), found.images[0].painted().ids.tolist()
        (['cell'], [[0, 7, 7]])
    """
    problems = Problems(path)
    found = AnnotationSet()
    with problems.entry("the file"):
        stem = Path(path).stem.removesuffix(".rois")
        name, known = find_image(stem, None, None, images, max_pixels)
        found.images.append(AnnotatedImage(name, *known, []))
    with problems.entry("the file"):
        for entry, content in _contents(Path(path), problems):
            with problems.entry(entry):
                roi = _roi(content)
                if roi.roitype not in _OF_AREA:
                    found.left_out[f"region of the type {roi.roitype.name.lower()}"] += 1
                elif found.images:
                    found.images[0].objects.append(_object(roi))
    problems.check()
    return found


def _contents(path: Path, problems: Problems) -> Iterator[tuple[str, bytes]]:
    """The regions of a file by their names."""
    try:
        if path.suffix.lower() == ".roi":
            yield "the region", path.read_bytes()
            return
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.lower().endswith(".roi"):
                    with problems.entry(printable(member.filename)):
                        yield printable(member.filename), _content(archive, member)
    except (OSError, *_BROKEN_ZIP) as error:
        raise InputError(f"cannot be read ({reason(error)})") from error


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.file_size > _LARGEST:
        raise InputError(f"{member.file_size} bytes; a region has {_LARGEST} at most")
    try:
        return archive.read(member)
    except _BROKEN_ZIP as error:
        raise InputError(f"is damaged ({reason(error)})") from error


def _roi(content: bytes) -> ImagejRoi:
    try:
        return ImagejRoi.frombytes(content)
    except _BROKEN as error:
        raise InputError(f"is no region of ImageJ, or damaged ({reason(error)})") from error


def _object(roi: ImagejRoi) -> AnnotatedObject:
    named = _NAME.fullmatch(roi.name or "")
    label = (named and named[2]) or (f"group {roi.group}" if roi.group else OBJECT)
    number = number_of(named[1]) if named else None
    return AnnotatedObject(label, [partial(polygon_pixels, _rings(roi))], number)


def _rings(roi: ImagejRoi) -> list[np.ndarray]:
    if not roi.composite and roi.roitype in (ROI_TYPE.RECT, ROI_TYPE.OVAL):
        return [checked_ring(_box(roi))]
    try:
        coordinates = roi.coordinates(multi=True)
    except _BROKEN as error:
        raise InputError(f"its outline is damaged ({reason(error)})") from error
    rings = [checked_ring(ring) for ring in coordinates if len(ring)]
    if not rings:
        raise InputError("has no outline")
    return rings


def _box(roi: ImagejRoi) -> np.ndarray:
    left, top, right, bottom = roi.left, roi.top, roi.right, roi.bottom
    if roi.subpixelrect:
        left, top = roi.xd, roi.yd
        right, bottom = left + roi.widthd, top + roi.heightd
    if roi.roitype == ROI_TYPE.RECT:
        return rectangle(left, top, right, bottom)
    middle = (left + right) / 2, (top + bottom) / 2
    return ellipse(*middle, (right - left) / 2, (bottom - top) / 2)


def write_imagej(path: str | os.PathLike[str], image: ObjectImage) -> None:
    """Write the objects of an image as a ROI set, named by their ids and classes, atomically.

    Args:
        path: the `.zip` file.
        image: the objects; crowds are left out.

    Example:
        >>> image = ObjectImage("a", "a.png", np.array([[0, 7, 7]]), {7: "cell"})
        >>> write_imagej("a.rois.zip", image)
        >>> zipfile.ZipFile("a.rois.zip").namelist()
        ['7.roi']
    """
    with replacing(path) as temporary:
        temporary.write_bytes(outlines_rois(image.outlines(), image.told_labels()))
