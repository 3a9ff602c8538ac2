"""What a long run has finished, so that it can be continued after it was killed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from keras_unet3p.errors import InputError
from keras_unet3p.files import naming_full_disk, printable


class RunJournal:
    """An append-only file: the run's parameters, then one line for each state reached.

    A line that a kill cut short has no line end and does not count. What a line tells to be
    finished must be written before the line is.

    Args:
        path: the journal.
        parameters: JSON-serialisable description of the run; a journal of another run is refused.

    Raises:
        ValueError: if the journal there is of another run, or damaged.
        OSError: the disk is full.
    """

    def __init__(self, path: Path, parameters: dict[str, Any]) -> None:
        self.path = path
        self.finished = 0
        """Tiles that were finished when the journal was opened."""
        parameters = json.loads(json.dumps(parameters))
        lines = self._complete_lines()
        if lines:
            try:
                found = dict(json.loads(lines[0]))
                self.finished = int(lines[-1]) if len(lines) > 1 else 0
            except (ValueError, TypeError) as error:
                raise InputError(
                    f"{printable(path)} is damaged, or no journal of a prediction ({error}); "
                    "delete it to start anew"
                ) from None
            self._check(found, parameters)
        content = "".join(f"{line}\n" for line in (json.dumps(parameters), self.finished))
        temporary = path.with_name(f"{path.name}.tmp")
        with naming_full_disk(path):
            temporary.write_text(content)
        os.replace(temporary, path)
        self._file = open(path, "a")  # noqa: SIM115 - closed by `close` or with the process

    def record(self, finished: int) -> None:
        """Note that the first `finished` tiles are done."""
        with naming_full_disk(self.path):
            self._file.write(f"{finished}\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; it stays."""
        self._file.close()

    def remove(self) -> None:
        """The run is over."""
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
                    f"{printable(self.path)} is of a run with {key} = {found.get(key)!r}, this "
                    f"one has {parameters.get(key)!r}; delete it to start anew"
                )
