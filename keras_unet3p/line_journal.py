"""A record that grows by lines and survives a kill."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from keras_unet3p.files import naming_full_disk, write_text


class LineJournal:
    """An append-only text file. A line without its line end was cut by a kill and does not count.

    Args:
        path: the file; it need not be there.

    Raises:
        OSError: the disk is full.

    Example:
        >>> journal = LineJournal(Path("work.journal"))
        >>> journal.begin(["asked for"])
        >>> journal.append("1 done")
        >>> LineJournal(Path("work.journal")).lines()
        ['asked for', '1 done']
        >>> journal.remove()
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def lines(self) -> list[str]:
        """The complete lines."""
        if not self.path.exists():
            return []
        return self.path.read_text("utf-8", errors="replace").split("\n")[:-1]

    def begin(self, lines: Sequence[str]) -> None:
        """Write these lines in place of all others, and open the file for more."""
        write_text(self.path, "".join(f"{line}\n" for line in lines))
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 - closed by `close`

    def append(self, line: str) -> None:
        """Add a line; it is on the disk when this returns."""
        assert self._file is not None, "begun before"
        with naming_full_disk(self.path):
            self._file.write(f"{line}\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file without removing it."""
        if self._file is not None:
            self._file.close()

    def remove(self) -> None:
        """Close and delete the file, at the end of the work."""
        self.close()
        self.path.unlink(missing_ok=True)
