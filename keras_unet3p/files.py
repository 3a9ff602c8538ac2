"""Writing of files in such a way that a kill leaves either the old file or the new one."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import json
import os
import shutil
import socket
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """Context with a temporary path beside `path`; on success it is renamed to `path`.

    The temporary name has the same suffix, because writers choose the format by it. On an error the
    temporary file (or folder) is removed and `path` stays as it was.

    Args:
        path: file to write. Its folder is made if it is missing.
        durable: wait until the file is on the disk before it replaces the old one, so that a power
            cut also leaves one of the two. This takes milliseconds. It is meant for files from
            which a run continues.

    Example:
        >>> with replacing("results.txt") as path:
        ...     length = path.write_text("done")
        >>> Path("results.txt").read_text()
        'done'
    """
    path = Path(path)
    with naming_full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_own_prefix(), dir=path.parent))
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
    """Context that turns a full disk's error into one with the file and the free space.

    Raises:
        OSError: with the original error number, ENOSPC or EDQUOT.

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
        named.names_space = True  # type: ignore[attr-defined]  # an outer call does not change it
        raise named from error


def reserve_space(path: str | os.PathLike[str], size: int) -> None:
    """Reserve disk space for `size` bytes of a file and extend the file to this size.

    A file that is only made longer has holes. Writing into a hole through a memory map kills the
    process (SIGBUS) if the disk is full. The content of the file stays.

    Args:
        path: an existing file, not longer than `size`.
        size: bytes.

    Raises:
        OSError: ENOSPC or EDQUOT; the message names the file and the free space.

    Example:
        >>> Path("scores.bin").touch()
        >>> reserve_space("scores.bin", 1024)
        >>> Path("scores.bin").stat().st_size
        1024
    """
    with naming_full_disk(path), open(path, "r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except (AttributeError, OSError) as error:  # not supported here
            if getattr(error, "errno", errno.EOPNOTSUPP) not in _NOT_SUPPORTED:
                raise
            for start in range(file.seek(0, os.SEEK_END), size, _BLOCK):
                file.write(bytes(min(_BLOCK, size - start)))


def _full_disk(error: BaseException | None) -> int | None:
    """ENOSPC or EDQUOT if one of them caused an error, else None.

    C libraries raise their own errors, with the system's message in the text. And clean-up code may
    raise another error after the system's.
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
    """Context that holds the lock file `path`; if another process holds it, refuse at once.

    The operating system releases the lock when the process ends, so no lock is left over.

    Args:
        path: the lock file, such as `FOLDER/.lock`. It is made if it is missing, contains process
            number and host of the holder, and is removed at the end.
        resource: the locked object, for the message, such as "run folder runs/cells".

    Raises:
        ValueError: if another process holds the lock. The message names its number and host.

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
    except OSError:  # On Windows a locked file cannot be read. Or the holder has just ended.
        return "another process"


def make_output_folder(path: str | os.PathLike[str], argument: str = "out") -> Path:
    """Make a folder for results and check that files can be written, before the work begins.

    Unfinished files of processes that no longer run are removed from it.

    Raises:
        ValueError: if the folder cannot be made or written to. The message names the argument.

    Example:
        >>> make_output_folder("results").is_dir()
        True
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=_own_prefix(), dir=path):
            pass
        _remove_abandoned(path)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"{argument}: {printable(path)} is a file, or lies below a file; expected a folder"
        ) from error
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise
        raise InputError(
            f"{argument}: {printable(path)} cannot be written to ({error.strerror}); expected a "
            "folder in which files can be made"
        ) from error
    return path


def ignores_case(folder: str | os.PathLike[str]) -> bool:
    """Whether names that differ only in case are the same file in this folder.

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
    """Return `prefix + name + suffix`, with the name cut if it is too long for the file system.

    Different names stay different: a name that is cut ends with a digest of the whole name.

    Args:
        folder: the folder of the file. It must exist.
        name: the name to cut.
        prefix, suffix: parts that are never cut.

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
    """Return an error's message as one printable line; messages of libraries can have many.

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
    """Remove the unfinished files of killed runs from a folder.

    Example:
        >>> remove_unfinished(".")
    """
    for path in Path(folder).glob(f"{_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def _own_prefix() -> str:
    """The prefix of temporary names. It names host and process, so that others can check them."""
    return f"{_PREFIX}{_host()}-{os.getpid()}-"


def _host() -> str:
    return "".join(character for character in socket.gethostname() if character.isalnum())[:64]


def _remove_abandoned(folder: Path) -> None:
    """Remove the unfinished files of ended processes of this host; other hosts may share it."""
    own = f"{_PREFIX}{_host()}-"
    for path in folder.glob(f"{own}*"):
        number = path.name.removeprefix(own).partition("-")[0]
        if number.isdigit() and not _is_running(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 does not only test, so it is assumed to run
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def archive_damage(path: str | os.PathLike[str]) -> str | None:
    """Return the damage of a ZIP archive, such as a `.keras` file, in words; None if undamaged.

    The whole archive is read and its checksums are compared.

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


def write_csv(
    path: str | os.PathLike[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Write a table atomically, in UTF-8; a row may lack columns.

    Example:
        >>> write_csv("table.csv", ["name", "area"], [{"name": "a", "area": 3}, {"name": "b"}])
        >>> Path("table.csv").read_text("utf-8").splitlines()
        ['name,area', 'a,3', 'b,']
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.

    Example:
        >>> _ = Path("a.bin").write_bytes(b"cells")
        >>> sha256_of("a.bin")[:12]
        '57104c57fbe0'
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def check_format(path: str | os.PathLike[str], found: Any, newest: int) -> None:
    """See that a file is of a format that this version reads.

    Args:
        path: the file, for the message.
        found: the number of the format that the file tells.
        newest: the largest number that is read; all from 1 on are.

    Raises:
        ValueError: it is another one; the message has the number and those that are accepted.

    Example:
        >>> check_format("config.json", 1, newest=1)
        >>> check_format("config.json", 2, newest=1)
        Traceback (most recent call last):
            ...
        keras_unet3p.errors.InputError: config.json is of format 2; accepted is format 1: a newer \
    version of keras_unet3p wrote it, which reads it
    """
    accepted = "accepted is format 1" if newest == 1 else f"accepted are formats 1 to {newest}"
    if type(found) is not int or found < 1:
        shown = printable(repr(found)[:40])
        raise InputError(f"{printable(path)} is damaged (format {shown}; {accepted})")
    if found > newest:
        raise InputError(
            f"{printable(path)} is of format {found}; {accepted}: a newer version of keras_unet3p "
            "wrote it, which reads it"
        )
