from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from keras_unet3p.config import ReadingChoices
from keras_unet3p.files import printable
from keras_unet3p.images.file_source import DEFAULT, expand
from keras_unet3p.images.formats import ImageFormat, format_of
from keras_unet3p.images.image_values import ImageValues, measure_values, warn_of_guess
from keras_unet3p.images.in_threads import in_threads
from keras_unet3p.images.limits import MAX_PAGES, MAX_PIXELS, Limits
from keras_unet3p.images.listing import name_images
from keras_unet3p.images.pixel_size import stored_pixel_size
from keras_unet3p.images.plane import Plane
from keras_unet3p.images.unit_values import check_scale, choose_value_scale, scaled


class ImageFile(Sequence):
    """The images of a PNG, JPEG, BMP, TIFF or NPY file in unit values, decoded when asked for.

    The file's directory is read once, so that thousands of pages take time in proportion, and one
    image is in memory at a time. `read_image` says how files are read.

    Args:
        path: the file.
        value_scale: the rule of a saved `Normalization`; by default the one that this file alone
            would get, for which all its images are looked at.
        max_pixels: an image of more pixels is refused, before it is decoded; see `Limits`.
        max_pages: so is a file of more images.
        reading: what of the file is read; see `config.ReadingChoices`.

    Raises:
        ValueError: here and in reading an image, as `read_image`.

    Example:
        >>> np.save("stack.npy", np.full((5, 8, 20), 51, np.uint8))
        >>> file = ImageFile("stack.npy")
        >>> len(file), file[4].shape, round(float(file[4].max()), 6), int(file.stored(4).max())
        (5, (8, 20, 1), 0.2, 51)
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        value_scale: str | None = None,
        max_pixels: int = MAX_PIXELS,
        max_pages: int = MAX_PAGES,
        reading: ReadingChoices = DEFAULT,
    ) -> None:
        self.path = Path(path)
        self._sources = expand(self.path, Limits(max_pixels, max_pages), reading)
        if value_scale is None:
            values = [self.values(index) for index in range(len(self))]
            value_scale = choose_value_scale(values)
            warn_of_guess(value_scale, values, printable(path))
        self.value_scale = value_scale

    def __len__(self) -> int:
        return len(self._sources)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...

    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        return scaled(self.stored(index), self.value_scale)

    def stored(self, index: int) -> np.ndarray:
        """An image (height, width, channels) as it is stored, which predictors take.

        Raises:
            ValueError: as for the unit values: its values do not fit the rule.
        """
        source = self._sources[index]
        image = source.read(labels=False)
        check_scale(image, self.value_scale, source.label)
        return image

    def values(self, index: int) -> ImageValues:
        """What the stored values of an image are like."""
        source = self._sources[index]
        return measure_values(source.sample(), source.label)

    def plane(self, index: int) -> Plane | None:
        """An image of which windows can be read; None for one that is decoded as a whole."""
        source = self._sources[index]
        return source if isinstance(source, Plane) else None

    def pixel_size(self, index: int) -> float | None:
        """Side of an image's pixel in micrometres; None where the file does not tell."""
        plane = self.plane(index)
        return stored_pixel_size(self.path) if plane is None else plane.pixel_size

    @property
    def format(self) -> ImageFormat | None:
        """That of the file, if it is one that is always read in windows; None of pictures."""
        found = format_of(self.path)
        return found if found is not None and found.always else None


def open_files(
    files: Mapping[str, Path],
    value_scale: str,
    *,
    max_pixels: int = MAX_PIXELS,
    max_pages: int = MAX_PAGES,
    reading: ReadingChoices = DEFAULT,
) -> tuple[dict[str, ImageFile], dict[str, list[str]]]:
    """Open the files of `list_images`, several at a time, and name their images by `name_images`.

    Args:
        files: the files by name.
        value_scale, max_pixels, max_pages, reading: as `ImageFile`.

    Raises:
        ValueError: as `ImageFile`, and as `name_images`.

    Example:
        >>> np.save("stack.npy", np.zeros((2, 8, 20), np.uint8))
        >>> open_files({"stack": Path("stack.npy")}, "unit")[1]
        {'stack': ['stack_000', 'stack_001']}
    """
    sources = in_threads(
        lambda file: ImageFile(
            file,
            value_scale=value_scale,
            max_pixels=max_pixels,
            max_pages=max_pages,
            reading=reading,
        ),
        files.values(),
    )
    opened = dict(zip(files, sources, strict=True))
    return opened, name_images(files, {stem: len(file) for stem, file in opened.items()})
