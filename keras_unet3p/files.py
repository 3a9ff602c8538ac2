"""Writing files so that a run killed at any moment leaves either the old file or the new one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import socket
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from keras_unet3p.errors import InputError, printable

_PREFIX = ".unfinished-"
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_BLOCK = 2**20
_LONGEST_NAME = 255  # bytes, of every common file system


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, durable: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; on success rename it to `path`.

    The temporary name keeps the suffix, because writers choose the format by it. On an error the
    temporary file (or folder) is removed and `path` stays as it was.

    Args:
        path: file to write. Its folder is made where it is missing.
        durable: see the file on the disk before it takes the old one's place, so that a power cut
            leaves one of the two as well. Takes milliseconds; for what a run continues from.

    Example:
        >>> with replacing("results.txt") as path:
        ...     length = path.write_text("done")
        >>> Path("results.txt").read_text()
        'done'
    """
    path = Path(path)
    with naming_full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=path.parent))
        try:
            temporary = folder / path.name
            yield temporary
            if durable:
                with temporary.open("r+b") as file:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def naming_full_disk(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the error of a full disk into one that names the file and the space that is left.

    Raises:
        OSError: with the error number of the original one, ENOSPC or EDQUOT.

    Example:
        >>> with naming_full_disk("results.txt"):
        ...     length = Path("results.txt").write_text("done")
    """
    try:
        yield
    except Exception as error:
        number = _full_disk(error)
        if number is None or getattr(error, "names_space", False):
            raise
        free = shutil.disk_usage(_existing_parent(path)).free
        named = OSError(
            number,
            f"no space left to write {printable(path)}: {free / 2**20:.1f} MiB are free there",
        )
        named.names_space = True  # type: ignore[attr-defined]  # an outer call leaves it as it is
        raise named from error


def reserve_space(path: str | os.PathLike[str], size: int) -> None:
    """Have the file system keep room for all `size` bytes of a file, which grows to them.

    A file that was only declared longer has holes, and writing into one through a memory map on a
    full disk kills the process (SIGBUS). What the file holds stays.

    Args:
        path: an existing file, not longer than `size`.
        size: bytes.

    Raises:
        OSError: ENOSPC or EDQUOT; the message names the file and the space that is left.

    Example:
        >>> Path("scores.bin").touch()
        >>> reserve_space("scores.bin", 1024)
        >>> Path("scores.bin").stat().st_size
        1024
    """
    with naming_full_disk(path), open(path, "r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except (AttributeError, OSError) as error:  # the system, or the file system, has it not
            if getattr(error, "errno", errno.EOPNOTSUPP) not in _NOT_SUPPORTED:
                raise
            for start in range(file.seek(0, os.SEEK_END), size, _BLOCK):
                file.write(bytes(min(_BLOCK, size - start)))


def _full_disk(error: BaseException | None) -> int | None:
    """ENOSPC or EDQUOT where an error comes of one of them, else None.

    Libraries that write files in C raise errors of their own kinds, which quote the system's; and
    clearing up after the error of the system may raise another one over it.
    """
    while error is not None:
        for number in _NO_SPACE:
            if getattr(error, "errno", None) == number or os.strerror(number) in str(error):
                return number
        error = error.__cause__ or error.__context__
    return None


def _existing_parent(path: str | os.PathLike[str]) -> Path:
    parents = Path(path).absolute().parents
    return next(parent for parent in parents if parent.is_dir())


@contextlib.contextmanager
def locked(path: str | os.PathLike[str], resource: str) -> Iterator[None]:
    """Hold the lock file `path` of the operating system, or be refused at once.

    The lock is gone with the process that holds it, however that ends, so none is ever left over.

    Args:
        path: the lock file, such as `FOLDER/.lock`; made where it is missing, removed at the end.
            It holds process and host of whoever holds it.
        resource: what is locked, for the message: "run folder runs/cells".

    Raises:
        ValueError: another process holds the lock; the message names its process and host.

    Example:
        >>> with locked("run.lock", "run folder cells"):
        ...     Path("run.lock").exists()
        True
    """
    path = Path(path)
    with naming_full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path, blocking=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise InputError(
                f"{resource} is in use by {_holder(path)}; wait for it to end, or stop it"
            ) from None
        try:
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
            yield
        finally:
            path.unlink(missing_ok=True)
            lock.release()


def _holder(path: Path) -> str:
    try:
        return printable(path.read_text(encoding="utf-8", errors="replace")) or "another process"
    except OSError:  # Windows lets nobody read a locked file, and the holder may have just gone.
        return "another process"


def make_output_folder(path: str | os.PathLike[str], argument: str = "out") -> Path:
    """Make a folder for results and see that it takes files, before the work for them begins.

    Raises:
        ValueError: it cannot be made or written to; the message names the argument.

    Example:
        >>> make_output_folder("results").is_dir()
        True
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=_PREFIX, dir=path):
            pass
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"{argument}: {printable(path)} is a file, or in the place of one; expected a folder"
        ) from error
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise
        raise InputError(
            f"{argument}: {printable(path)} cannot be written to ({error.strerror}); expected a "
            "folder that files can be made in"
        ) from error
    return path


def ignores_case(folder: str | os.PathLike[str]) -> bool:
    """Whether names that differ in upper and lower case alone are one file in this folder.

    Example:
        >>> ignores_case(".") in (True, False)
        True
    """
    with tempfile.NamedTemporaryFile(prefix=_PREFIX, dir=folder) as probe:
        path = Path(probe.name)
        return path.with_name(path.name.upper()).exists()


def fitting_name(
    folder: str | os.PathLike[str], name: str, *, prefix: str = "", suffix: str = ""
) -> str:
    """`prefix + name + suffix`, with the name cut where the file system takes none as long.

    Names that differ stay different: one that is cut ends with a digest of the whole.

    Args:
        folder: where the file will be; it exists.

    Example:
        >>> fitting_name(".", "cell_01", suffix="_mask.png")
        'cell_01_mask.png'
        >>> len(fitting_name(".", 1000 * "x", suffix="_mask.png")) < 300
        True
    """
    try:
        longest = os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        longest = _LONGEST_NAME
    room = longest - len(os.fsencode(prefix + suffix))
    whole = os.fsencode(name)
    if len(whole) > room:
        mark = "~" + hashlib.sha256(whole).hexdigest()[:8]
        while len(os.fsencode(name)) > room - len(mark):
            name = name[:-1]
        name += mark
    return f"{prefix}{name}{suffix}"


def reason(error: BaseException) -> str:
    """What an error says, as one printable line: libraries' errors run over many.

    Example:
        >>> reason(FileNotFoundError(2, "No such file or directory", "cells.png"))
        'cells.png: No such file or directory'
    """
    if isinstance(error, OSError) and error.strerror:
        named = isinstance(error.filename, (str, bytes, os.PathLike))
        name = f"{os.fsdecode(error.filename)}: " if named else ""
        return printable(f"{name}{error.strerror}")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(lines[0]) if lines else type(error).__name__


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Remove what killed runs left half written in a folder.

    Example:
        >>> remove_unfinished(".")
    """
    for path in Path(folder).glob(f"{_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def archive_damage(path: str | os.PathLike[str]) -> str | None:
    """What is wrong with a ZIP archive, such as a `.keras` file; None where it is whole.

    All of it is read, and its checksums are compared.

    Example:
        >>> length = Path("model.keras").write_bytes(b"half of a model")
        >>> archive_damage("model.keras")
        'it holds 15 bytes and is damaged (File is not a zip file)'
    """
    try:
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        return f"it holds {os.path.getsize(path)} bytes and is damaged ({error})"
    return None if part is None else f"it is damaged in its part {printable(part)}"


def write_text(path: str | os.PathLike[str], text: str, *, durable: bool = False) -> None:
    """Write a text file atomically, in UTF-8; see `replacing`.

    Example:
        >>> write_text("note.txt", "12 cells")
        >>> Path("note.txt").read_text()
        '12 cells'
    """
    with replacing(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a JSON file atomically, indented, keys in the order given.

    Example:
        >>> write_json("scores.json", {"dice": 0.9})
        >>> json.loads(Path("scores.json").read_text())
        {'dice': 0.9}
    """
    write_text(path, json.dumps(value, indent=2) + "\n")
