"""The image files of a folder, and what the images in them are called."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from keras_unet3p.errors import InputError
from keras_unet3p.files import printable
from keras_unet3p.images.decoding import EXTENSIONS
from keras_unet3p.images.formats import SUFFIXES, format_of, suffix_of

ACCEPTED = tuple(dict.fromkeys((*EXTENSIONS, *SUFFIXES)))


def name_images(files: Mapping[str, Path], counts: Mapping[str, int]) -> dict[str, list[str]]:
    """What the images of each file are called: as the file, and `NAME_000` and so on in a stack.

    Args:
        files: from `list_images`.
        counts: how many images each of them holds, by the same names.

    Raises:
        ValueError: two images have one name: `a.tif`, a stack, gives `a_000`, and so does
            `a_000.png`.

    Example:
        >>> name_images({"film": Path("film.tif"), "one": Path("one.png")}, {"film": 2, "one": 1})
        {'film': ['film_000', 'film_001'], 'one': ['one']}
    """
    names = {name: image_names(name, counts[name]) for name in files}
    problems = shared_names((own, str(files[name])) for name in files for own in names[name])
    if problems:
        raise InputError(problems[0])
    return names


def list_files(given: str | os.PathLike, argument: str) -> list[Path]:
    """The files of a folder that can be read, sorted by name, or the file itself."""
    folder = Path(given)
    if is_one_file(folder):
        return [folder]
    if not folder.is_dir():
        raise InputError(f"{argument}: there is no folder or file {printable(folder)}")
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    entries = [entry for entry in entries if is_one_file(entry)]
    files = [entry for entry in entries if is_read(entry)]
    if not files:
        found = sorted({printable(entry.suffix or entry.name) for entry in entries})
        inside = sorted(
            printable(entry.name)
            for entry in folder.iterdir()
            if entry.is_dir() and not entry.name.startswith(".") and not is_one_file(entry)
        )
        if inside and not entries:
            raise InputError(
                f"{argument}: {printable(folder)} holds folders only ({', '.join(inside[:5])}); "
                "give one of them, or a pattern: "
                f"'{printable(folder / '*' / '*.png')}' looks into all of them"
            )
        raise InputError(
            f"{argument}: {printable(folder)} holds no image "
            f"({', '.join(found[:5]) or 'it is empty'}); accepted are {', '.join(ACCEPTED)}"
        )
    return files


def is_one_file(path: Path) -> bool:
    """Whether it is a file, or a folder that is one image and not a folder of images."""
    return path.is_file() or (path.is_dir() and format_of(path) is not None)


def is_read(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS or format_of(path) is not None


def stem(path: Path) -> str:
    """The name without its image extension; `cell.ome.tif` and `cell.png` are both `cell`.

    Composed (NFC): systems differ in whether they write an umlaut as one character or as two.
    """
    name = unicodedata.normalize("NFC", path.name)
    suffix = suffix_of(path) or (path.suffix if path.suffix.lower() in EXTENSIONS else "")
    name = name[: len(name) - len(suffix)]
    return name[:-4] if name.lower().endswith(".ome") else name


def image_names(name: str, count: int) -> list[str]:
    """What the images of a file are called: as it, and in a stack `NAME_000` and so on."""
    if count == 1:
        return [name]
    digits = max(3, len(str(count - 1)))
    return [f"{name}_{number:0{digits}d}" for number in range(count)]


def shared_names(named: Iterable[tuple[str, str]]) -> list[str]:
    """What is wrong with pairs of a name and where it comes from: names that two of them have."""
    origins: dict[str, str] = {}
    problems = []
    for name, origin in named:
        if name in origins:
            problems.append(
                f"{origins[name]}, {origin}: share the name {name!r}; rename a file, since the "
                "results are named after it"
            )
        origins.setdefault(name, origin)
    return problems
