"""The record of a long run's progress, by which it can be continued after it was killed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from keras_unet3p.errors import InputError
from keras_unet3p.files import naming_full_disk, printable


class RunJournal:
    """An append-only file: the run's parameters, then lines with the number of finished tiles.

    A line without its line end was cut by a kill and does not count. Results must be on the disk
    before the line that says so is written.

    Args:
        path: the journal.
        parameters: JSON-serialisable description of the run. A journal with other parameters is
            refused.

    Raises:
        ValueError: if the existing journal belongs to another run or is damaged.
        OSError: if the disk is full.
    """

    def __init__(self, path: Path, parameters: dict[str, Any]) -> None:
        self.path = path
        self.finished = 0
        """Number of tiles that were finished when the journal was opened."""
        parameters = json.loads(json.dumps(parameters))
        lines = self._complete_lines()
        if lines:
            try:
                found = dict(json.loads(lines[0]))
                self.finished = int(lines[-1]) if len(lines) > 1 else 0
            except (ValueError, TypeError) as error:
                raise InputError(
                    f"{printable(path)} is damaged, or not the journal of a prediction ({error}); "
                    "delete it to start over"
                ) from None
            self._check(found, parameters)
        content = "".join(f"{line}\n" for line in (json.dumps(parameters), self.finished))
        temporary = path.with_name(f"{path.name}.tmp")
        with naming_full_disk(path):
            temporary.write_text(content)
        os.replace(temporary, path)
        self._file = open(path, "a")  # noqa: SIM115 - closed by `close` or with the process

    def record(self, finished: int) -> None:
        """Record that the first `finished` tiles are done."""
        with naming_full_disk(self.path):
            self._file.write(f"{finished}\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file without removing it."""
        self._file.close()

    def remove(self) -> None:
        """Close and delete the file, at the end of the run."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _complete_lines(self) -> list[str]:
        if not self.path.exists():
            return []
        return self.path.read_text(errors="replace").split("\n")[:-1]

    def _check(self, found: dict[str, Any], parameters: dict[str, Any]) -> None:
        for key in {**found, **parameters}:
            if found.get(key) != parameters.get(key):
                raise InputError(
                    f"{printable(self.path)} belongs to a run with {key} = {found.get(key)!r}; "
                    f"this run has {parameters.get(key)!r}; delete it to start over"
                )
