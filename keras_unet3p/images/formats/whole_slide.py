"""Whole slides of the scanners' formats, by tiffslide or openslide."""

from __future__ import annotations

import importlib
import math
import threading
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import InputError, needing
from keras_unet3p.files import printable
from keras_unet3p.images.decoding import errors_name
from keras_unet3p.images.limits import Limits
from keras_unet3p.images.pixel_size import square
from keras_unet3p.images.plane import Plane, chosen_channels

_COLOURS = 3
_TILE = 1024  # of several hundred pixels in all formats; windows begin at multiples of it
_OF_OPENSLIDE = (".mrxs", ".vms", ".vmu", ".bif")
"""Formats that tiffslide does not read."""


class SlidePlane(Plane):
    """A level of a slide, in colour.

    Args:
        path: the file.
        slide: the slide, opened by tiffslide or openslide.
        level: which of its levels.
        channels: places of the colours that are taken.
    """

    def __init__(self, path: Path, slide: Any, level: int, channels: list[int]) -> None:
        self.path, self._slide, self._level, self._channels = path, slide, level, channels
        width, height = slide.level_dimensions[level]
        self._scale = float(slide.level_downsamples[level])
        self.shape, self.dtype = (height, width, len(channels)), np.dtype(np.uint8)
        self.chunk = (_TILE, _TILE)
        self._lock = threading.Lock()

    def window(self, rows: slice, columns: slice) -> np.ndarray:
        corner = (self._in_full(columns.start), self._in_full(rows.start))
        size = (columns.stop - columns.start, rows.stop - rows.start)
        with errors_name(self.path), self._lock:
            region = self._slide.read_region(corner, self._level, size)
        values = np.asarray(region)
        if values.ndim == 2:
            values = np.repeat(values[..., np.newaxis], _COLOURS, axis=-1)
        if values.shape[-1] > _COLOURS:  # openslide leaves what was not scanned transparent
            covered = values[..., _COLOURS:] > 0
            values = np.where(covered, values[..., :_COLOURS], np.uint8(255))
        return np.ascontiguousarray(values[..., self._channels])

    def _in_full(self, place: int) -> int:
        """The place at the full resolution that leads to this one of the level, rounded down."""
        full = math.ceil(place * self._scale)
        return full + (int(full / self._scale) < place)


def planes(
    path: Path, reading: ReadingChoices, limits: Limits, *, labels: bool = False
) -> list[Plane]:
    """A level of a whole slide.

    Args:
        path: the file.
        reading: the level, and the colours by their numbers.
        limits: what may be read at once.
        labels: without effect.

    Raises:
        ValueError: the file is damaged, of an unknown kind, or has no such level.
    """
    del labels
    slide = _opened(path)
    label = printable(path)
    if reading.level >= slide.level_count:
        raise InputError(
            f"{label}: level {reading.level}; it has levels 0 to {slide.level_count - 1}"
        )
    channels = chosen_channels(reading.channels, ("R", "G", "B"), label)
    plane = SlidePlane(path, slide, reading.level, channels)
    sizes = [_number(slide.properties, f"mpp-{axis}") for axis in "xy"]
    scale = float(slide.level_downsamples[reading.level])
    if all(size is not None for size in sizes):
        plane.pixel_size = square(*(size * scale for size in sizes if size is not None))
    plane.limits = limits
    return [plane]


def _opened(path: Path) -> Any:
    """The slide by tiffslide; of its formats only openslide reads, and without tiffslide, by it."""
    of_openslide = path.suffix.lower() in _OF_OPENSLIDE
    try:
        library = importlib.import_module("openslide" if of_openslide else "tiffslide")
    except ImportError as error:
        if of_openslide:
            raise InputError(
                f"{printable(path)}: slides of type {path.suffix} need the package openslide: "
                "pip install openslide-python openslide-bin"
            ) from error
        with needing("slides", "images.formats.whole_slide"):
            library = _openslide_instead(error)
    with errors_name(path):
        is_openslide = hasattr(library, "OpenSlide")
        return library.OpenSlide(path) if is_openslide else library.TiffSlide(path)


def _openslide_instead(error: ImportError) -> Any:
    try:
        return importlib.import_module("openslide")
    except ImportError:
        raise error from None


def _number(properties: Any, name: str) -> float | None:
    for owner in ("tiffslide", "openslide"):
        try:
            return float(properties[f"{owner}.{name}"])
        except (KeyError, TypeError, ValueError):
            continue
    return None
