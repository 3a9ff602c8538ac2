"""Slices of a medical volume, along any of its axes, in the orientation that radiologists see."""

from __future__ import annotations

import abc
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import InputError
from keras_unet3p.files import printable
from keras_unet3p.images.limits import Limits
from keras_unet3p.images.pixel_size import square
from keras_unet3p.images.plane import Plane, chosen_channels
from keras_unet3p.images.stacked_axes import StackedAxes

# Towards which side rows, columns and slices run: patients are looked at from their feet or from
# the front, so that their right is on the left of the picture.
_VIEWS = {"axial": "PLS", "coronal": "ILA", "sagittal": "IPL"}
_OPPOSITE = dict(zip("RLAPSI", "LRPAIS", strict=True))
_MICROMETRES = 1000.0  # of a millimetre


class Volume(abc.ABC):
    """A volume whose values are read in parts.

    Attributes:
        path: the file or folder.
        shape: of the three axes of space, and behind them of time and colours, if there are any.
        names: of the axes as they lie in the file: x for columns, y for rows, z, t, c.
        directions: the side of the patient, one of R, L, A, P, S and I, towards which the index
            grows, for each axis of space; "" where that is not known.
        spacing: millimetres from one value to the next along them; None where not known.
        dtype: of the values.
    """

    path: Path
    shape: tuple[int, ...]
    names: str
    directions: str = ""
    spacing: tuple[float, ...] | None = None
    dtype: np.dtype

    @abc.abstractmethod
    def read(self, key: tuple[int | slice, ...]) -> np.ndarray:
        """The values that a key of whole numbers and slices selects."""


@dataclasses.dataclass(frozen=True)
class Cut:
    """How a volume is cut: what its axes are called then, and along which the index is turned."""

    axes: StackedAxes
    turned: str

    @classmethod
    def of(cls, volume: Volume, slice_axis: str) -> Cut:
        """The cut along an axis of `config.SLICE_AXES`.

        Raises:
            ValueError: the file does not tell how the patient lies, which that axis asks for.
        """
        label = printable(volume.path)
        if slice_axis == "acquired":
            return cls(StackedAxes(volume.names, volume.shape, label, "t"), "")
        if not volume.directions:
            raise InputError(
                f"{label}: slice_axis {slice_axis!r}; the file does not tell how the patient lies; "
                "expected 'acquired'"
            )
        names, turned = list(volume.names), ""
        for name, wanted in zip("yxz", _VIEWS[slice_axis], strict=True):
            both = (wanted, _OPPOSITE[wanted])
            at = next(at for at, side in enumerate(volume.directions) if side in both)
            names[at] = name
            turned += name if volume.directions[at] != wanted else ""
        return cls(StackedAxes("".join(names), volume.shape, label, "t"), turned)

    def window(
        self, place: dict[str, int], rows: slice, columns: slice
    ) -> tuple[tuple[int | slice, ...], tuple[slice, slice]]:
        """What selects a window of a slice, and what turns its rows and columns afterwards."""
        axes = self.axes
        depth = axes.shape[axes.names.index("z")]
        if "z" in self.turned and "z" in place:
            place = {**place, "z": depth - 1 - place["z"]}
        parts, turns = [], []
        for name, part, size in (("y", rows, axes.height), ("x", columns, axes.width)):
            turn = name in self.turned
            parts.append(slice(size - part.stop, size - part.start) if turn else part)
            turns.append(slice(None, None, -1 if turn else None))
        return axes.key(place, parts[0], parts[1]), (turns[0], turns[1])


class VolumePlane(Plane):
    """A slice of a volume."""

    def __init__(self, volume: Volume, cut: Cut, place: dict[str, int], channels: list[int]):
        self.path, self.dtype = volume.path, volume.dtype
        self._volume, self._cut, self._place, self._channels = volume, cut, place, channels
        axes = cut.axes
        self.shape = (axes.height, axes.width, len(channels))
        self.chunk = (axes.height, axes.width)
        if volume.spacing is not None:
            of = dict(zip(axes.names, volume.spacing, strict=False))
            self.pixel_size = square(of["x"] * _MICROMETRES, of["y"] * _MICROMETRES)
            spacing = of.get("z", math.nan) * _MICROMETRES
            self.slice_spacing = None if math.isnan(spacing) else float(f"{spacing:.6g}")

    def window(self, rows: slice, columns: slice) -> np.ndarray:
        key, turns = self._cut.window(self._place, rows, columns)
        values = self._volume.read(key).transpose(self._cut.axes.order())
        values = values.reshape(*values.shape[:2], -1)[turns][..., self._channels]
        return np.ascontiguousarray(values, self.dtype)


def volume_planes(volume: Volume, reading: ReadingChoices, limits: Limits) -> list[Plane]:
    """The slices of a volume.

    Args:
        volume: the volume.
        reading: along which axis, and which channels.
        limits: of their number.
    """
    if reading.level:
        raise InputError(f"{printable(volume.path)}: level {reading.level}; it has level 0 only")
    cut = Cut.of(volume, reading.slice_axis)
    places = list(cut.axes.places())
    limits.check_pages(volume.path, len(places))
    names = [""] * cut.axes.channels
    channels = chosen_channels(reading.channels, names, printable(volume.path))
    found: list[Plane] = []
    for number, place in enumerate(places):
        plane = VolumePlane(volume, cut, place, channels)
        plane.number = number if len(places) > 1 else None
        plane.limits = limits
        if len(places) > 1:
            plane.volume = f"{volume.path} {cut.axes.volume_of(place)}".strip()
        found.append(plane)
    return found


class VolumeLabels:
    """Labels of a volume's slices, gathered in memory in the volume's own layout."""

    def __init__(self, volume: Volume, reading: ReadingChoices, dtype: np.dtype) -> None:
        self._cut = Cut.of(volume, reading.slice_axis)
        self._places = list(self._cut.axes.places())
        names = volume.names
        kept = [at for at, name in enumerate(names) if name != "c"]
        self._without = [at for at, name in enumerate(names) if name == "c"]
        self.array = np.zeros([volume.shape[at] for at in kept], dtype)

    def plane(self, number: int) -> _LabelPlane:
        """Where the labels of a slice are assigned to."""
        return _LabelPlane(self, self._places[number])

    def assign(self, place: dict[str, int], key: tuple[slice, slice], values: np.ndarray) -> None:
        selected, turns = self._cut.window(place, *key)
        selected = tuple(part for at, part in enumerate(selected) if at not in self._without)
        names = [name for name in self._cut.axes.names if name in "yx"]
        values = values[turns]
        self.array[selected] = values if names == ["y", "x"] else values.T


class _LabelPlane:
    """Takes windows of a slice's labels as an array does."""

    def __init__(self, labels: VolumeLabels, place: dict[str, int]) -> None:
        axes = labels._cut.axes
        self.shape, self.dtype = (axes.height, axes.width), labels.array.dtype
        self._labels, self._place = labels, place

    def __setitem__(self, key: tuple[slice, slice], values: Any) -> None:
        rows, columns = (
            slice(*part.indices(size)[:2]) for part, size in zip(key, self.shape, strict=True)
        )
        self._labels.assign(self._place, (rows, columns), np.asarray(values))

    def finish(self) -> None:
        """Nothing is kept back."""
