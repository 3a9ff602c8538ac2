"""The metrics of a run, one row for each epoch, as a CSV file that survives a kill."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path

from keras_unet3p.errors import InputError
from keras_unet3p.files import printable, write_text

_LOSSES = ("loss", "val_loss")


class History:
    """Rows of a run's `history.csv`, read at the start and rewritten atomically at every epoch.

    Args:
        path: the CSV file; read where it exists. Its columns are those of its rows, `epoch` (from
            1) first.
        monitor: the column that says which epoch is the best, the largest value winning.

    Raises:
        ValueError: the file is damaged; the message names it, the line and the way out.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     history = History(pathlib.Path(folder, "history.csv"), "val_dice")
        ...     for epoch, dice in enumerate((0.7, 0.9, 0.8), start=1):
        ...         history.append({"epoch": epoch, "val_dice": dice})
        ...     again = History(history.path, "val_dice")
        >>> again.best()
        {'epoch': 2.0, 'val_dice': 0.9}
    """

    def __init__(self, path: str | os.PathLike[str], monitor: str):
        self.path = Path(path)
        self.monitor = monitor
        self.rows: list[dict[str, float]] = _read(self.path) if self.path.exists() else []

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
        """The row with the largest monitored value, the earliest of equals; None without one.

        An epoch whose value or losses are not finite is no candidate: a network of NaN may score
        well, by an empty mask of empty images say.
        """
        ranked = [row for row in self.rows if self._is_ranked(row)]
        return max(ranked, key=lambda row: row[self.monitor], default=None)

    @property
    def seconds(self) -> float:
        """What the epochs took together."""
        return sum(row.get("seconds", 0.0) for row in self.rows)

    def _is_ranked(self, row: dict[str, float]) -> bool:
        losses = [row[name] for name in _LOSSES if name in row]
        return all(map(math.isfinite, [row.get(self.monitor, math.nan), *losses]))

    def epochs_without_improvement(self) -> int:
        """Epochs since the best one."""
        best = self.best()
        if best is None:
            return len(self.rows)
        return int(self.rows[-1]["epoch"] - best["epoch"])

    def _write(self) -> None:
        if not self.rows:
            self.path.unlink(missing_ok=True)
            return
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue(), durable=True)


def _read(path: Path) -> list[dict[str, float]]:
    name = printable(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{name} is damaged: no text in UTF-8; restore it from a copy") from None
    lines = text.splitlines()
    if not any(lines):  # a run that was killed before its first epoch was complete
        return []
    columns = next(csv.reader(lines[:1]), [])
    if "epoch" not in columns or "\n" not in text:
        raise InputError(
            f"{name} is damaged: its first line does not name the columns; restore it from a copy"
        )
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            if number == len(lines) and not text.endswith("\n"):
                raise InputError("cut off")
            if line:
                rows.append(_row(columns, line))
        except (ValueError, csv.Error) as error:
            raise InputError(
                f"{name} is damaged in line {number} ({error}); restore it from a copy, or delete "
                "the line: the run then continues without this epoch's figures"
            ) from None
    return rows


def _row(columns: list[str], line: str) -> dict[str, float]:
    values = next(csv.reader([line]))
    if len(values) != len(columns):
        raise InputError(f"{len(values)} values, expected {len(columns)}")
    row = {key: float(value) for key, value in zip(columns, values, strict=True) if value}
    if not row.get("epoch", math.nan).is_integer():
        raise InputError(f"epoch {values[columns.index('epoch')]!r}")
    return row
