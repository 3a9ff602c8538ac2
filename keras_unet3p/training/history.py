"""The metrics of a run, an epoch a row, as a CSV file that survives a kill."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path

from keras_unet3p.files import write_text


class History:
    """Rows of a run's `history.csv`, read at the start and rewritten atomically at every epoch.

    Args:
        path: the CSV file; read where it exists. Its columns are those of its rows, `epoch` (from
            1) first.
        monitor: the column that says which epoch is the best, the largest value winning.
    """

    def __init__(self, path: str | os.PathLike[str], monitor: str):
        self.path = Path(path)
        self.monitor = monitor
        self.rows: list[dict[str, float]] = []
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                self.rows = [
                    {key: float(value) for key, value in row.items() if value not in (None, "")}
                    for row in csv.DictReader(file)
                ]

    def append(self, row: dict[str, float]) -> None:
        """Add an epoch and write the file."""
        self.rows.append(row)
        self._write()

    def keep_until(self, epoch: int) -> None:
        """Drop the epochs after `epoch`: a killed run had written them, but not their weights."""
        kept = [row for row in self.rows if row["epoch"] <= epoch]
        if len(kept) != len(self.rows):
            self.rows = kept
            self._write()

    def best(self) -> dict[str, float] | None:
        """The row with the largest monitored value, the earliest of equals; None without rows."""
        ranked = [row for row in self.rows if not math.isnan(row.get(self.monitor, math.nan))]
        return max(ranked, key=lambda row: row[self.monitor], default=None)

    def epochs_without_improvement(self) -> int:
        """Epochs since the best one."""
        best = self.best()
        if best is None:
            return len(self.rows)
        return int(self.rows[-1]["epoch"] - best["epoch"])

    def _write(self) -> None:
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())
