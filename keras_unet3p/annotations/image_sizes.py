"""The images that annotations belong to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from keras_unet3p.annotations.entries import file_name
from keras_unet3p.config import MAX_PIXELS
from keras_unet3p.errors import InputError, ProblemsError
from keras_unet3p.files import printable
from keras_unet3p.images import Limits, list_images
from keras_unet3p.images.file_source import expand
from keras_unet3p.images.listing import stem


class KnownImage(NamedTuple):
    """The file of an image, and its size in pixels.

    Example:
        >>> KnownImage("a.png", 20, 30).height
        20
    """

    file: str
    height: int
    width: int


def known_images(
    images: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS
) -> dict[str, KnownImage]:
    """The images of a folder, or of a file, by their stems.

    Args:
        images: PNG, JPEG, BMP, TIFF or NPY files of one image each.
        max_pixels: larger ones are refused, see `images.Limits`.

    Raises:
        ValueError: files that cannot be read, or that hold several images; all of them are told.

    Example:
        >>> np.save("a.npy", np.zeros((2, 3), np.uint8))
        >>> known_images(".")
        {'a': KnownImage(file='a.npy', height=2, width=3)}
    """
    found: dict[str, KnownImage] = {}
    problems = []
    for name, path in list_images(images).items():
        try:
            found[name] = KnownImage(path.name, *_size(path, Limits(max_pixels)))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise ProblemsError(f"{len(problems)} of the images cannot be used", problems)
    return found


def find_image(
    file: str,
    height: int | None,
    width: int | None,
    images: Mapping[str, KnownImage] | None,
    max_pixels: int,
) -> tuple[str, KnownImage]:
    """The stem and the image of a name in a file of annotations.

    Args:
        file: a name or path as written there.
        height, width: as written there, None where they are not.
        images: of `known_images`; None believes the file.
        max_pixels: see `images.Limits`.

    Raises:
        ValueError: there is no such image, or it is of another size or too large.
    """
    base = file_name(file)
    name = stem(Path(base))
    found = None if images is None else images.get(name)
    if images is not None and found is None:
        raise InputError(f"there is no image {printable(name)!r} among the images")
    if found is None:
        if height is None or width is None:
            raise InputError("the size of the image is not told; give the images too (--images)")
        Limits(max_pixels).check_pixels(base, height, width)
        return name, KnownImage(base, height, width)
    for told, true in ((height, found.height), (width, found.width)):
        if told is not None and told != true:
            raise InputError(
                f"annotated as {height} x {width} pixels, but {printable(found.file)} is "
                f"{found.height} x {found.width}"
            )
    return name, found


def _size(path: Path, limits: Limits) -> tuple[int, int]:
    sources = expand(path, limits)
    if len(sources) != 1:
        raise InputError(
            f"{printable(path)}: holds {len(sources)} images; annotations are of files of one image"
        )
    height, width = sources[0].read(labels=True).shape[:2]
    return height, width
