from __future__ import annotations

import os
from pathlib import Path

from keras_unet3p.data._sources import list_files, stem
from keras_unet3p.files import printable


def list_images(images: str | os.PathLike) -> dict[str, Path]:
    """The image files of a folder, or the file itself, by the name that results get: their stem.

    Raises:
        ValueError: the path does not exist, holds no image, or two images share a stem.
    """
    found: dict[str, Path] = {}
    for path in list_files(images, "images"):
        name = stem(path)
        if name in found:
            raise ValueError(
                f"{printable(found[name])}, {printable(path)}: share the stem "
                f"{printable(name)!r}; expected one of them, since the "
                "results are named after it"
            )
        found[name] = path
    return found
