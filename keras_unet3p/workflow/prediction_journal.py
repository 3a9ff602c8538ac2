"""Which images of a prediction are done, by which a killed one is continued."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keras_unet3p.line_journal import LineJournal


class PredictionJournal:
    """A `LineJournal`: what was asked for, then a line for each mask that is written.

    A mask that is no longer there or whose image has changed since does not count. A journal of
    something else is begun anew.

    Args:
        path: the journal.
        asked: JSON-serialisable description of what decides the results: model and options.

    Example:
        >>> journal = PredictionJournal(Path("prediction.journal"), {"model": "cells"})
        >>> journal.record(Path("a.png"), [10, 20], [{"id": 1}])
        >>> _ = Path("a.png").write_bytes(b"")
        >>> again = PredictionJournal(Path("prediction.journal"), {"model": "cells"})
        >>> again.rows(Path("a.png"), [10, 20])
        [{'id': 1}]
        >>> again.remove()
    """

    def __init__(self, path: Path, asked: dict[str, Any]) -> None:
        self._journal = LineJournal(path)
        self._done: dict[str, tuple[list[Any], list[dict[str, Any]]]] = {}
        first, lines = json.dumps(asked, sort_keys=True), self._journal.lines()
        if lines[:1] != [first]:
            lines = [first]
        # ASCII, so that names which are not UTF-8 come back as they are.
        for line in lines[1:]:
            name, stamp, rows = json.loads(line)
            self._done[name] = stamp, rows
        self._journal.begin(lines)

    def rows(
        self, mask: Path, stamp: list[Any], name: str | None = None
    ) -> list[dict[str, Any]] | None:
        """The rows of the table that belong to a mask; None if it is to be made.

        Args:
            mask: its path.
            stamp: what tells whether its image is the same.
            name: that no other mask has; by default that of its file.
        """
        found = self._done.get(name or mask.name)
        if found is None or found[0] != stamp or not mask.exists():
            return None
        return found[1]

    def record(
        self, mask: Path, stamp: list[Any], rows: list[dict[str, Any]], name: str | None = None
    ) -> None:
        """A mask is written, with all that belongs to it."""
        self._journal.append(json.dumps([name or mask.name, stamp, rows]))

    def close(self) -> None:
        """Close the file without removing it."""
        self._journal.close()

    def remove(self) -> None:
        """Close and delete the file, at the end of the work."""
        self._journal.remove()
