"""A file of one mask or of several, on its way to being written."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import InputError
from keras_unet3p.files import printable
from keras_unet3p.images import MASK_FORMATS, ImageFile, write_labels
from keras_unet3p.images.formats import FORMATS, format_of, ome_zarr

AUTO = "auto"
"""The format of masks that is each image's own."""
_BAND = 1024  # rows that are copied at a time


class MaskTarget(Protocol):
    """A file of masks that is open for writing."""

    def write(self, at: int, labels: np.ndarray) -> None:
        """Write the labels (H, W) of a plane; they may be mapped from the disk."""
        ...


@dataclasses.dataclass(frozen=True)
class MaskFile:
    """Where the masks of an image file go, or the mask of one of its images.

    Attributes:
        path: of the masks.
        stack: the image file.
        first: its image that the first mask is of.
        names: of these images.
        into_zarr: name of the label image, where it is written into the image's own file.
    """

    path: Path
    stack: ImageFile
    first: int
    names: list[str]
    into_zarr: str | None = None

    @property
    def is_picture(self) -> bool:
        """Whether it holds one mask, as a picture."""
        return self.into_zarr is None and is_picture(self.path.suffix)

    @property
    def key(self) -> str:
        """What no other mask of a prediction is called."""
        return self.path.name if self.into_zarr is None else str(self.path)

    @contextlib.contextmanager
    def opened(
        self, reading: ReadingChoices, dtype: np.dtype, class_names: Sequence[str] = ()
    ) -> Iterator[MaskTarget]:
        """Context in which the masks are written; the file appears at its end.

        Args:
            reading: with which the images were read.
            dtype: of labels, where the format needs to know it before they are there.
            class_names: of the classes, the background's first, for formats that tell them; none
                where the labels are instances.
        """
        if self.is_picture:
            yield _Picture(self.path)
            return
        image = self.stack.path
        if self.into_zarr is not None:
            file = ome_zarr.labels_inside(image, self.into_zarr, reading, dtype, class_names)
        else:
            form = self.stack.format
            assert form is not None, "it has the format of its image"
            file = form.module.label_file(image, self.path, reading, dtype, class_names)
        with file as planes:
            yield _Planes(planes)


def suffix_of_masks(stack: ImageFile, mask_format: str) -> str:
    """The suffix of the masks of an image file.

    Example:
        >>> import numpy as np
        >>> np.save("a.npy", np.zeros((8, 8), np.uint8))
        >>> suffix_of_masks(ImageFile("a.npy"), "auto")
        '.png'
    """
    if mask_format != AUTO:
        return MASK_FORMATS[mask_format]
    own = stack.format
    if own is not None and own.label_suffix is not None:
        return own.label_suffix
    planes = map(stack.plane, range(len(stack)))
    large = any(plane is not None and plane.is_large for plane in planes)
    return MASK_FORMATS["tiff" if large else "png"]


def suffixes_of_masks(mask_format: str) -> tuple[str, ...]:
    """All that `suffix_of_masks` may give.

    Example:
        >>> suffixes_of_masks("png")
        ('.png',)
    """
    if mask_format != AUTO:
        return (MASK_FORMATS[mask_format],)
    own = (each.label_suffix for each in FORMATS if each.label_suffix is not None)
    return (*MASK_FORMATS.values(), *own)


def is_picture(suffix: str) -> bool:
    """Whether files of this suffix hold one mask each.

    Example:
        >>> is_picture(".png"), is_picture(".zarr")
        (True, False)
    """
    return suffix in MASK_FORMATS.values()


def check_into_zarr(files: Mapping[str, Path], name: str, reading: ReadingChoices) -> None:
    """Raise a ValueError where labels of this name cannot be written into each of the images.

    Example:
        >>> check_into_zarr({}, "nuclei", ReadingChoices())
    """
    for file in files.values():
        form = format_of(file)
        if form is None or form.name != "ome_zarr":
            raise InputError(f"into_zarr: {printable(file)} is no OME-Zarr image; give out instead")
        ome_zarr.check_inside(file, name, reading)


class _Picture:
    """A mask as a picture."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, at: int, labels: np.ndarray) -> None:
        write_labels(self._path, labels)


class _Planes:
    """Masks in one file, a plane each."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, at: int, labels: np.ndarray) -> None:
        writer = self._file.plane(at)
        for top in range(0, len(labels), _BAND):
            band = labels[top : top + _BAND]
            writer[top : top + len(band), : labels.shape[1]] = band
        writer.finish()
