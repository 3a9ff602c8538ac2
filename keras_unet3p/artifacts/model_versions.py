"""The numbered folders of a served model, one for each version."""

from __future__ import annotations

import os
from pathlib import Path

from keras_unet3p.artifacts.model_card import GRAPH_FILE
from keras_unet3p.errors import InputError, printable

LARGEST_VERSION = 2**63 - 1
"""The largest number that a server reads as a version."""


def version_number(name: str) -> int | None:
    """The version that a folder of this name holds; None where it is no name of a version.

    Example:
        >>> version_number("007"), version_number("0"), version_number("1e3")
        (7, None, None)
    """
    if not (name.isascii() and name.isdigit()):
        return None
    number = int(name)
    return number if 1 <= number <= LARGEST_VERSION else None


def version_folders(base: Path) -> dict[int, list[Path]]:
    """The version folders in the base folder of a served model.

    Returns:
        For each number its folders. There are several where names differ in leading zeros; the
        one with the fewest is the last then.

    Raises:
        OSError: `base` is no folder, or cannot be read.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as base:
        ...     for name in ("7", "007", "8", "notes"):
        ...         pathlib.Path(base, name).mkdir()
        ...     found = version_folders(pathlib.Path(base))
        >>> {number: [folder.name for folder in folders] for number, folders in found.items()}
        {7: ['007', '7'], 8: ['8']}
    """
    found: dict[int, list[Path]] = {}
    for entry in sorted(base.iterdir()):
        number = version_number(entry.name)
        if number is not None and entry.is_dir():
            found.setdefault(number, []).append(entry)
    return found


def is_version_folder(path: Path) -> bool:
    """Whether a folder itself holds an exported graph.

    Example:
        >>> is_version_folder(Path("nowhere"))
        False
    """
    return (path / GRAPH_FILE).is_file()


def newest_version(path: Path) -> Path | None:
    """The folder with the exported graph: `path` itself, or the largest version in it.

    Returns:
        None where there is none.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as base:
        ...     for name in ("1", "12"):
        ...         pathlib.Path(base, name).mkdir()
        ...         _ = pathlib.Path(base, name, "saved_model.pb").write_bytes(b"")
        ...     newest_version(pathlib.Path(base)).name
        '12'
    """
    if is_version_folder(path):
        return path
    folders = version_folders(path) if path.is_dir() else {}
    written = [number for number, found in folders.items() if is_version_folder(found[-1])]
    return folders[max(written)][-1] if written else None


def check_version(version: int) -> None:
    """See that servers read a number as a version.

    Raises:
        ValueError: it is not 1 to 2^63 - 1.

    Example:
        >>> check_version(0)
        Traceback (most recent call last):
            ...
        keras_unet3p.errors.InputError: version must be 1 to 9223372036854775807, found 0
    """
    if not 1 <= version <= LARGEST_VERSION:
        raise InputError(f"version must be 1 to {LARGEST_VERSION}, found {version}")


def new_version(base: str | os.PathLike[str], version: int | None = None) -> Path:
    """The folder for a new version; it is not made.

    Args:
        base: the base folder of the served model; it exists.
        version: the number; None takes the next free one.

    Raises:
        ValueError: the number is taken, or none that servers read is left.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as base:
        ...     pathlib.Path(base, "7").mkdir()
        ...     new_version(base).name, new_version(base, 2).name
        ('8', '2')
    """
    base = Path(base)
    taken = version_folders(base)
    if version is None:
        version = max(taken, default=0) + 1
    check_version(version)
    folder = taken.get(version, [base / str(version)])[-1]
    if folder.exists():
        raise InputError(
            f"version: folder {printable(folder)} exists; expected a number that is not taken"
        )
    return folder
