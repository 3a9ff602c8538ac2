"""NPY arrays, mapped into memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import InputError
from keras_unet3p.files import printable
from keras_unet3p.images.decoding import is_stack
from keras_unet3p.images.limits import Limits
from keras_unet3p.images.plane import LARGE, Plane, chosen_channels
from keras_unet3p.images.stacked_axes import StackedAxes

_CHUNK = 512  # a file of rows has none


class NpyPlane(Plane):
    """A plane of an array in a file."""

    def __init__(
        self, path: Path, array: np.ndarray, axes: StackedAxes, place: dict[str, int], channels
    ) -> None:
        self.path = path
        self._array, self._axes, self._place, self._channels = array, axes, place, channels
        self.shape = (axes.height, axes.width, len(channels))
        self.dtype, self.chunk = array.dtype.newbyteorder("="), (_CHUNK, _CHUNK)

    def window(self, rows: slice, columns: slice) -> np.ndarray:
        values = self._array[self._axes.key(self._place, rows, columns)]
        values = values.transpose(self._axes.order())
        values = values.reshape(*values.shape[:2], -1)[..., self._channels]
        return np.ascontiguousarray(values, self.dtype)


def has_large(path: Path) -> bool:
    """Whether its images are so large that they are read in windows."""
    try:
        axes = _axes(path, np.load(path, mmap_mode="r", allow_pickle=False), ReadingChoices())
    except Exception:  # what is wrong with it is told by whoever reads it
        return False
    return axes.height * axes.width > LARGE


def planes(
    path: Path, reading: ReadingChoices, limits: Limits, *, labels: bool = False
) -> list[Plane]:
    """The planes of an array.

    Args:
        path: the file.
        reading: channels by their numbers, and axes; by default as `read_image` takes them.
        limits: of the number of planes.
        labels: whether they are masks, which may be drawn on a level of their images.

    Raises:
        ValueError: it is no such array, or its axes or channels are others.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:
        raise InputError(f"{printable(path)}: cannot be read ({error})") from error
    axes = _axes(path, array, reading)
    places = list(axes.places())
    limits.check_pages(path, len(places))
    if reading.level and not labels:
        raise InputError(f"{printable(path)}: level {reading.level}; it has level 0 only")
    channels = chosen_channels(reading.channels, [""] * axes.channels, printable(path))
    found: list[Plane] = []
    for number, place in enumerate(places):
        plane = NpyPlane(path, array, axes, place, channels)
        plane.number = number if len(places) > 1 else None
        plane.limits = limits
        # Of an array alone nobody knows whether neighbours are alike, unless somebody says so.
        if axes.is_volume and (reading.axes is not None or reading.neighbors):
            plane.volume = f"{path} {axes.volume_of(place)}".strip()
        found.append(plane)
    return found


def _axes(path: Path, array: np.ndarray, reading: ReadingChoices) -> StackedAxes:
    names = reading.axes
    if names is None:
        stacked = is_stack(array.shape, printable(path))
        names = "z" * stacked + "yx" + "c" * (array.ndim == 3 + stacked)
    return StackedAxes(names, array.shape, printable(path))
