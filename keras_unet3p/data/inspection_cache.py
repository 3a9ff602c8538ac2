"""What was found out about the files of a large set, so that the next start takes seconds."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from keras_unet3p._version import __version__
from keras_unet3p.cache_folder import cache_folder

_AT_ONCE = 500  # SQLite's limit for parameters is 999 or more


class InspectionCache:
    """Texts by the files that they are about, in a SQLite database. Safe for processes.

    A file counts as the same while its path, size and time of change are. What cannot be read or
    written is not kept: the cache is a help, and never an error.

    Args:
        path: of the database; None takes `inspected.sqlite` in `cache_folder()`.

    Example:
        >>> cache = InspectionCache("inspected.sqlite")
        >>> np.save("a.npy", np.zeros((8, 8)))
        >>> key = cache.key([Path("a.npy")], "checked for pieces")
        >>> cache.put([(key, "good")])
        >>> cache.get([key])[key]
        'good'
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = Path(path) if path is not None else cache_folder() / "inspected.sqlite"

    @staticmethod
    def key(files: Iterable[Path], how: str) -> str | None:
        """Of files as they are now, and of how they are looked at; None if one is not there."""
        marks = [__version__, how]
        try:
            for file in files:
                found = file.stat()
                marks += [str(file.absolute()), str(found.st_size), str(found.st_mtime_ns)]
        except OSError:
            return None
        return hashlib.sha256("\0".join(marks).encode("utf-8", "surrogateescape")).hexdigest()

    def get(self, keys: Sequence[str]) -> dict[str, str]:
        """The texts of those keys that have one."""
        found: dict[str, str] = {}
        if not self._path.exists():
            return found
        with contextlib.suppress(sqlite3.Error), self._open() as database:
            for first in range(0, len(keys), _AT_ONCE):
                part = keys[first : first + _AT_ONCE]
                marks = ", ".join("?" * len(part))
                query = f"SELECT key, text FROM inspected WHERE key IN ({marks})"
                found.update(database.execute(query, list(part)))
        return found

    def put(self, items: Iterable[tuple[str, str]]) -> None:
        """Keep texts under their keys."""
        with contextlib.suppress(sqlite3.Error, OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as database:
                database.executemany("INSERT OR REPLACE INTO inspected VALUES (?, ?)", items)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._path, timeout=30.0)
        try:
            with database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS inspected (key TEXT PRIMARY KEY, text TEXT)"
                )
                yield database
        finally:
            database.close()
