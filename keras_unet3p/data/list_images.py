from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from keras_unet3p.data._sources import image_names, list_files, shared_names, stem
from keras_unet3p.errors import InputError
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
            raise InputError(
                f"{printable(found[name])}, {printable(path)}: share the stem "
                f"{printable(name)!r}; expected one of them, since the "
                "results are named after it"
            )
        found[name] = path
    return found


def name_images(files: Mapping[str, Path], counts: Mapping[str, int]) -> dict[str, list[str]]:
    """What the images of each file are called: as the file, and `NAME_000` and so on in a stack.

    Args:
        files: from `list_images`.
        counts: how many images each of them holds, by the same names.

    Raises:
        ValueError: two images have one name: `a.tif`, a stack, gives `a_000`, and so does
            `a_000.png`.
    """
    names = {name: image_names(name, counts[name]) for name in files}
    problems = shared_names((own, str(files[name])) for name in files for own in names[name])
    if problems:
        raise InputError(problems[0])
    return names
