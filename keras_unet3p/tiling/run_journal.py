"""The record of a long run's progress, by which it can be continued after it was killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keras_unet3p.errors import InputError
from keras_unet3p.files import printable
from keras_unet3p.line_journal import LineJournal


class RunJournal:
    """A `LineJournal`: the run's parameters, then lines with the number of finished tiles.

    Results must be on the disk before the line that says so is written.

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
        self._journal = LineJournal(path)
        lines = self._journal.lines()
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
        # The first and the last line say all.
        self._journal.begin([json.dumps(parameters), str(self.finished)])

    def record(self, finished: int) -> None:
        """Record that the first `finished` tiles are done."""
        self._journal.append(str(finished))

    def close(self) -> None:
        """Close the file without removing it."""
        self._journal.close()

    def remove(self) -> None:
        """Close and delete the file, at the end of the run."""
        self._journal.remove()

    def _check(self, found: dict[str, Any], parameters: dict[str, Any]) -> None:
        for key in {**found, **parameters}:
            if found.get(key) != parameters.get(key):
                raise InputError(
                    f"{printable(self.path)} belongs to a run with {key} = {found.get(key)!r}; "
                    f"this run has {parameters.get(key)!r}; delete it to start over"
                )
