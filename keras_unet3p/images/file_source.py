"""One image of a file, read when it is asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from keras_unet3p.files import printable
from keras_unet3p.images.decoding import Place, decode, images_of
from keras_unet3p.images.limits import Limits


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

    @property
    def label(self) -> str:
        """What messages call the image."""
        name = printable(self.path)
        return name if self.number is None else f"{name} (image {self.number})"

    def read(self, *, labels: bool) -> np.ndarray:
        """Stored pixels (height, width, channels); see `decoding.decode`."""
        return decode(self.path, self.place, self.limits, labels=labels)


def expand(path: Path, limits: Limits) -> list[FileSource]:
    """The images of a file, opened once to find them all."""
    places = images_of(path, limits)
    if len(places) == 1:
        return [FileSource(path, places[0], limits)]
    return [FileSource(path, place, limits, number) for number, place in enumerate(places)]
