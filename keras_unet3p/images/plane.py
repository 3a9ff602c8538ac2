"""One image of a file that is read window by window."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.files import printable
from keras_unet3p.images.limits import Limits

LARGE = 2**26
"""Pixels of a plane above which it is looked at, segmented and trained on in windows."""
_WINDOW = 4096
_LOOKS, _LOOK = 4, 256  # windows along each axis by which a large plane is judged, and their side


class Plane(abc.ABC):
    """A two-dimensional image (height, width, channels), of which windows are read when asked for.

    It can be sliced along its first two axes as an array can, by threads at the same time, and goes
    wherever an image is taken that can be sliced: `tiling.StreamingPredictor`,
    `client.Client.predict_large`.

    Attributes:
        path: the file.
        number: of the image among those of the file, where it holds several.
        shape: (height, width, channels).
        dtype: of the pixels.
        chunk: (height, width) of what the file stores in one piece.
        pixel_size: side of a pixel in micrometres; None where the file does not tell.
        slice_spacing: micrometres to the next slice of the volume; None where that is not told.
        volume: what the plane is a slice of; None for an image by itself. Slices with their
            neighbours in one volume follow each other in the file's list.
        limits: what may be read at once.

    Example:
        >>> from keras_unet3p.images import open_planes
        >>> np.save("stack.npy", np.full((5, 80, 200), 51, np.uint8))
        >>> plane = open_planes("stack.npy")[4]
        >>> plane.shape, plane[70:, 10:30].shape
        ((80, 200, 1), (10, 20, 1))
    """

    path: Path
    number: int | None = None
    shape: tuple[int, int, int]
    dtype: np.dtype
    chunk: tuple[int, int]
    pixel_size: float | None = None
    slice_spacing: float | None = None
    volume: str | None = None
    limits: Limits

    ndim = 3

    @abc.abstractmethod
    def window(self, rows: slice, columns: slice) -> np.ndarray:
        """Stored pixels (h, w, channels) of a window within the plane."""

    def __getitem__(self, key: slice | tuple[slice, ...]) -> np.ndarray:
        slices = key if isinstance(key, tuple) else (key,)
        wanted = zip(slices, self.shape, strict=False)
        places = [slice(*part.indices(size)[:2]) for part, size in wanted]
        while len(places) < 2:
            places.append(slice(0, self.shape[len(places)]))
        return self.window(places[0], places[1])

    @property
    def label(self) -> str:
        """What messages call the image."""
        name = printable(self.path)
        return name if self.number is None else f"{name} (image {self.number})"

    @property
    def is_large(self) -> bool:
        """Whether it has so many pixels that it is worked on in windows."""
        return self.shape[0] * self.shape[1] > LARGE

    def read(self, *, labels: bool) -> np.ndarray:
        """All of it.

        Raises:
            ValueError: it has more pixels than `limits` allow.
        """
        del labels  # a mask's numbers are stored as they are
        self.limits.check_pixels(self.path, *self.shape)
        return np.ascontiguousarray(self[:, :])

    def sample(self) -> np.ndarray:
        """All of it, or of a large one windows from all over it, one below the other."""
        if not self.is_large:
            return self.read(labels=False)
        corners = [
            [side * (2 * step + 1) // (2 * _LOOKS) for step in range(_LOOKS)]
            for side in self.shape[:2]
        ]
        return np.concatenate(
            [
                _filled(self[top : top + _LOOK, left : left + _LOOK], _LOOK)
                for top, left in itertools.product(*corners)
            ]
        )

    def windows(self) -> list[tuple[slice, slice]]:
        """Windows of whole chunks that together are the plane, of up to about 4096 x 4096."""
        axes = []
        for side, chunk in zip(self.shape[:2], self.chunk, strict=True):
            step = max(_WINDOW // chunk, 1) * chunk
            axes.append([slice(at, min(at + step, side)) for at in range(0, side, step)])
        return list(itertools.product(*axes))


def _filled(window: np.ndarray, side: int) -> np.ndarray:
    """One at a border, mirrored to the full width, that windows can lie below each other."""
    return np.pad(window, ((0, 0), (0, side - window.shape[1]), (0, 0)), mode="symmetric")


class PlaneWindow(Plane):
    """A window of a plane, as a plane."""

    def __init__(self, whole: Plane, rows: slice, columns: slice) -> None:
        self.whole, self.rows, self.columns = whole, rows, columns
        self.path, self.number, self.limits = whole.path, whole.number, whole.limits
        self.shape = (rows.stop - rows.start, columns.stop - columns.start, whole.shape[2])
        self.dtype, self.chunk, self.pixel_size = whole.dtype, whole.chunk, whole.pixel_size
        self.volume, self.slice_spacing = whole.volume, whole.slice_spacing

    @property
    def label(self) -> str:
        return f"{self.whole.label} (from row {self.rows.start}, column {self.columns.start})"

    def window(self, rows: slice, columns: slice) -> np.ndarray:
        return self.whole.window(_moved(rows, self.rows.start), _moved(columns, self.columns.start))


def _moved(place: slice, offset: int) -> slice:
    return slice(place.start + offset, place.stop + offset)


class NeighboringPlanes(Plane):
    """A slice with its neighbours in the volume as channels; beyond the ends the last one again.

    Args:
        planes: those of the file.
        index: which of them.
        count: neighbours on either side.
    """

    def __init__(self, planes: Sequence[Plane], index: int, count: int) -> None:
        own = planes[index]
        of_volume = [place for place, plane in enumerate(planes) if plane.volume == own.volume]
        first, last = (index, index) if own.volume is None else (of_volume[0], of_volume[-1])
        places = range(index - count, index + count + 1)
        self.planes = [planes[min(max(place, first), last)] for place in places]
        self.path, self.number, self.limits = own.path, own.number, own.limits
        self.shape = (*own.shape[:2], own.shape[2] * len(self.planes))
        self.dtype, self.chunk, self.pixel_size = own.dtype, own.chunk, own.pixel_size
        self.volume, self.slice_spacing = own.volume, own.slice_spacing

    def window(self, rows: slice, columns: slice) -> np.ndarray:
        return np.concatenate([plane.window(rows, columns) for plane in self.planes], axis=-1)


class RescaledPlane(Plane):
    """A plane whose values from one end to the other become 0 to 1, float32, and are cut there.

    Args:
        plane: with values in the units of the ends.
        center, width: of the window, in Hounsfield units for CT.
    """

    def __init__(self, plane: Plane, center: float, width: float) -> None:
        self.plane, self.low, self.width = plane, center - width / 2, width
        self.path, self.number, self.limits = plane.path, plane.number, plane.limits
        self.shape, self.chunk, self.pixel_size = plane.shape, plane.chunk, plane.pixel_size
        self.volume, self.slice_spacing = plane.volume, plane.slice_spacing
        self.dtype = np.dtype(np.float32)

    def window(self, rows: slice, columns: slice) -> np.ndarray:
        values = (self.plane.window(rows, columns).astype(np.float32) - self.low) / self.width
        return np.clip(values, 0.0, 1.0, dtype=np.float32)


def chosen_channels(wanted: str | None, names: Sequence[str], label: str) -> list[int]:
    """Places of the channels that are asked for by name or number.

    Args:
        wanted: names or numbers with commas; None takes all.
        names: of the channels; "" for one without.
        label: of the file, for the message.

    Raises:
        ValueError: there is no such channel, or several are called so.
    """
    if wanted is None:
        return list(range(len(names)))
    places = []
    for name in (part.strip() for part in wanted.split(",")):
        found = [place for place, each in enumerate(names) if each == name]
        if not found and name.isdigit() and int(name) < len(names):
            found = [int(name)]
        if len(found) != 1:
            known = ", ".join(printable(each or str(at)) for at, each in enumerate(names))
            raise InputError(
                f"{label}: channels: {'no' if not found else 'more than one'} channel "
                f"{printable(name)!r}; there are {known}"
            )
        places += found
    return places
