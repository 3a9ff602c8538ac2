"""How large a file may say that it is, before anything of that size is made."""

from __future__ import annotations

import dataclasses
import os

from keras_unet3p.config import MAX_PAGES, MAX_PIXELS
from keras_unet3p.errors import InputError
from keras_unet3p.files import printable

_CHANNELS = 4


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the header of a file may claim. Decoders allocate what it claims, however small it is.

    Attributes:
        max_pixels: height times width of one image; every four channels begun count once more. By
            default 2^28 (16,384 x 16,384): 1 GB in unit values for one channel.
        max_pages: images in one file, the pages of a TIFF or the planes of an NPY stack.

    Raises:
        ValueError: a limit is no whole number of at least 1.

    Example:
        >>> Limits(max_pixels=100).check_pixels("small.png", 10, 10)
        >>> Limits(max_pixels=100).check_pixels("large.png", 10, 11)
        Traceback (most recent call last):
        keras_unet3p.errors.InputError: large.png: an image of 10 x 11, which is 110 pixels; ...
    """

    max_pixels: int = MAX_PIXELS
    max_pages: int = MAX_PAGES

    def __post_init__(self) -> None:
        for name in ("max_pixels", "max_pages"):
            value = getattr(self, name)
            if int(value) != value or value < 1:
                raise InputError(f"{name} is {value!r}; expected a whole number of at least 1")

    def check_pixels(
        self, path: str | os.PathLike[str], height: int, width: int, channels: int = 1
    ) -> None:
        """Raise a ValueError for an image of `path` that is too large."""
        pixels = height * width * max(1, -(-channels // _CHANNELS))
        if pixels > self.max_pixels:
            size = f"{height} x {width}" + f" x {channels}" * (channels > 1)
            raise InputError(
                f"{printable(path)}: an image of {size}, which is {pixels} pixels; "
                f"max_pixels (--max-pixels) allows {self.max_pixels}. Where the file is right and "
                f"the memory suffices, about {_memory(height * width * channels)}, raise it"
            )

    def check_pages(self, path: str | os.PathLike[str], count: int, more: bool = False) -> None:
        """Raise a ValueError where `path` holds too many images, `count` or (`more`) above that."""
        if count > self.max_pages:
            raise InputError(
                f"{printable(path)}: holds {'at least ' * more}{count} images (pages); max_pages "
                f"(--max-pages) allows {self.max_pages}. Where the file is right, raise it"
            )


def _memory(values: int) -> str:
    # As float32, beside what the file stores.
    return f"{values * 8 / 2**30:.1f} GiB"
