"""One image of a file, read when it is asked for."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import InputError
from keras_unet3p.files import printable
from keras_unet3p.images.decoding import Place, decode, images_of
from keras_unet3p.images.formats import SUFFIXES, format_of
from keras_unet3p.images.limits import MAX_PAGES, MAX_PIXELS, Limits
from keras_unet3p.images.plane import NeighboringPlanes, Plane, PlaneWindow, RescaledPlane
from keras_unet3p.images.tiff_plan import TiffImage


@dataclasses.dataclass(frozen=True)
class FileSource:
    """One image of a file.

    Attributes:
        path: the file.
        place: where in it the image is.
        limits: what the file's header may claim.
        number: of the image among those of the file, where it holds several.
    """

    path: Path
    place: Place
    limits: Limits
    number: int | None = None

    volume = None

    @property
    def label(self) -> str:
        """What messages call the image."""
        name = printable(self.path)
        return name if self.number is None else f"{name} (image {self.number})"

    def read(self, *, labels: bool) -> np.ndarray:
        """Stored pixels (height, width, channels); see `decoding.decode`."""
        return decode(self.path, self.place, self.limits, labels=labels)

    def sample(self) -> np.ndarray:
        """The pixels by which the image's values are judged: all of them."""
        return self.read(labels=False)


DEFAULT = ReadingChoices()
_MOST_CHANNELS = 4  # so many pages without a word may be channels as well as images


class AxesWarning(UserWarning):
    """What the axes of a file were taken for, where it does not tell them.

    Example:
        >>> issubclass(AxesWarning, UserWarning)
        True
    """


def _tell_assumption(path: Path, places: Sequence[Place]) -> None:
    untold = [place for place in places if isinstance(place, TiffImage) and not place.told]
    if 1 < len(places) <= _MOST_CHANNELS and len(untold) == len(places):
        warnings.warn(
            f"{printable(path)}: {len(places)} pages, and nothing that says what they are, taken "
            f"as {len(places)} images; if they are channels of one image, give axes='cyx' "
            "(--axes cyx), if slices of one volume 'zyx'",
            AxesWarning,
            stacklevel=4,
        )


def expand(
    path: Path, limits: Limits, reading: ReadingChoices = DEFAULT, *, labels: bool = False
) -> list[FileSource] | list[Plane]:
    """The images of a file, opened once to find them all.

    Args:
        path: the file, or the folder that is one image.
        limits: what its header may claim.
        reading: what of it is read; of masks the part that holds for them.
        labels: whether its images are masks.

    Raises:
        ValueError: as `decoding.images_of`; or the file has nothing of what `reading` names.
    """
    reading = reading.of_masks() if labels else reading
    form = format_of(path)
    if form is not None and (form.always or reading.given() or form.module.has_large(path)):
        return _transformed(form.module.planes(path, reading, limits, labels=labels), reading)
    if not labels and reading.given():
        raise InputError(
            f"{printable(path)}: {', '.join(reading.given())}: not for a file of this type, which "
            "is one image"
        )
    places = images_of(path, limits)
    if not labels:
        _tell_assumption(path, places)
    if len(places) == 1:
        return [FileSource(path, places[0], limits)]
    return [FileSource(path, place, limits, number) for number, place in enumerate(places)]


def open_planes(
    path: str | os.PathLike[str],
    reading: ReadingChoices = DEFAULT,
    *,
    max_pixels: int = MAX_PIXELS,
    max_pages: int = MAX_PAGES,
) -> list[Plane]:
    """The images of a file as planes, of which windows are read when they are asked for.

    Args:
        path: an OME-Zarr image, a tiled TIFF, a whole slide, a medical volume or an NPY file.
        reading: what of it is read: level, channels, axes, slices.
        max_pixels: what `Plane.read` may read at once; a window may have any size.
        max_pages: a file of more images is refused.

    Raises:
        ValueError: the file cannot be read, or not in windows.

    Example:
        >>> np.save("stack.npy", np.zeros((2, 60, 80), np.uint8))
        >>> [plane.shape for plane in open_planes("stack.npy")]
        [(60, 80, 1), (60, 80, 1)]
    """
    path = Path(path)
    form = format_of(path)
    if form is None:
        raise InputError(
            f"{printable(path)}: not read in windows; accepted are {', '.join(SUFFIXES)}"
        )
    limits = Limits(max_pixels, max_pages)
    return _transformed(form.module.planes(path, reading, limits), reading)


def _transformed(planes: list[Plane], reading: ReadingChoices) -> list[Plane]:
    window = reading.center_and_width
    if window is not None:
        planes = [RescaledPlane(plane, *window) for plane in planes]
    if reading.neighbors:
        planes = [
            NeighboringPlanes(planes, index, reading.neighbors) for index in range(len(planes))
        ]
    return planes


def windows_of(source: Plane) -> list[PlaneWindow]:
    """A plane in windows that together are all of it."""
    return [PlaneWindow(source, rows, columns) for rows, columns in source.windows()]
