"""The files that a path, a pattern or an address names, and the key that each gets."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from keras_unet3p.errors import InputError
from keras_unet3p.files import printable
from keras_unet3p.images.listing import ACCEPTED, is_one_file, is_read, list_files, stem
from keras_unet3p.images.remote_files import is_remote, local_copies

_WILD = re.compile(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])")


class FoundFile(NamedTuple):
    """A file and what it is known by: its stem, or what a pattern's wildcards stand for in it.

    Example:
        >>> FoundFile("plate1/a", Path("plate1/images/a.png")).key
        'plate1/a'
    """

    key: str
    path: Path

    @property
    def name(self) -> str:
        """What results of it are called."""
        return self.key.replace("/", "_")


def find_files(given: str | os.PathLike[str], argument: str) -> list[FoundFile]:
    """The image files of a folder, a file, a pattern or an address, sorted.

    Args:
        given: a folder or a file; a pattern with `*`, `?`, `[...]`, or `**` for folders of any
            depth, such as `plates/*/images/*.png`; or an address that fsspec knows, of a folder or
            with a pattern, such as `s3://bucket/images/*.png` (see `remote_files`).
        argument: its name, for errors.

    Raises:
        ValueError: there is no such file, or none that can be read.

    Example:
        >>> np.save("a_image.npy", np.zeros((8, 8)))
        >>> find_files("*_image.npy", "images")[0].key
        'a'
    """
    text = os.fspath(given)
    if is_remote(text):
        base, copies = local_copies(text, argument)
        pattern = text.split("://", 1)[1] if has_wildcards(text) else None
        return _known(((original, copy) for original, copy in copies), pattern, argument, base)
    if not has_wildcards(text) or os.path.exists(text):
        return [FoundFile(stem(path), path) for path in list_files(given, argument)]
    paths = [Path(path) for path in sorted(glob.glob(text, recursive=True))]
    return _known(
        ((path.as_posix(), path) for path in paths), Path(text).as_posix(), argument, text
    )


def list_images(images: str | os.PathLike) -> dict[str, Path]:
    """The image files of a folder, a file, a pattern or an address, by the name that results get.

    It is the stem, or of a pattern what its wildcards stand for; see `find_files`.

    Raises:
        ValueError: the path does not exist, holds no image, or two images share a stem.

    Example:
        >>> np.save("b.npy", np.zeros((8, 8)))
        >>> np.save("a.npy", np.zeros((8, 8)))
        >>> list(list_images("[ab].npy"))
        ['a', 'b']
    """
    found: dict[str, Path] = {}
    for file in find_files(images, "images"):
        name, path = file.name, file.path
        if name in found:
            raise InputError(
                f"{printable(found[name])}, {printable(path)}: share the stem "
                f"{printable(name)!r}; expected one of them, since the "
                "results are named after it"
            )
        found[name] = path
    return found


def has_wildcards(text: str) -> bool:
    """Whether a path is a pattern.

    Example:
        >>> has_wildcards("plates/*/a.png"), has_wildcards("plates/a.png")
        (True, False)
    """
    return glob.has_magic(text)


def _known(found, pattern: str | None, argument: str, named: str) -> list[FoundFile]:
    files = []
    for original, path in found:
        if not (is_one_file(path) and is_read(path)):
            continue
        key = None if pattern is None else wildcard_key(pattern, original)
        files.append(FoundFile(key or stem(path), path))
    if not files:
        raise InputError(
            f"{argument}: {printable(named)} fits no image; accepted are {', '.join(ACCEPTED)}"
        )
    return files


def wildcard_key(pattern: str, path: str) -> str:
    """What the wildcards of a pattern stand for in a path that fits it, joined by "/".

    Without the extension of an image. A pattern that ends in `/*` so names files by their stem,
    and one of `*_mask.png` by what stands before `_mask`.

    Example:
        >>> wildcard_key("plates/*/images/*.png", "plates/p1/images/a.png")
        'p1/a'
        >>> wildcard_key("**/*_mask.png", "one/two/a_mask.png")
        'one/two/a'
    """
    parts = []
    for piece in _WILD.split(pattern):
        if piece in ("**/", "**"):
            parts.append("((?:[^/]+/)*)" if piece == "**/" else "(.*)")
        elif piece == "*":
            parts.append("([^/]*)")
        elif piece == "?":
            parts.append("([^/])")
        elif piece.startswith("[") and piece.endswith("]"):
            parts.append("(" + piece.replace("[!", "[^") + ")")
        else:
            parts.append(re.escape(piece))
    fits = re.search("".join(parts) + r"$", path)
    matched: Sequence[str] = fits.groups() if fits else (path,)
    key = "/".join(part.strip("/") for part in matched if part.strip("/"))
    folder, _, last = key.rpartition("/")
    last = stem(Path(last))
    return f"{folder}/{last}" if folder else last
