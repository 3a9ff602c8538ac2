"""What a cross-validation leaves behind."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import ClassVar

from keras_unet3p.artifacts.html_table import html_table
from keras_unet3p.artifacts.json_artifact import JsonArtifact
from keras_unet3p.artifacts.run_folder import RunFolder
from keras_unet3p.artifacts.section import Text
from keras_unet3p.errors import InputError, printable

FOLDS_FILE = "folds.json"


class FoldsRecord(JsonArtifact):
    """The `folds.json` of a cross-validation: its runs, and how good each is on what it held out.

    Example:
        >>> record = FoldsRecord(members=["fold-1", "fold-2"], measures={"dice": [0.8, 0.9]})
        >>> mean, spread = record.of("dice")
        >>> round(mean, 2), round(spread, 3)
        (0.85, 0.071)
    """

    WAY_OUT: ClassVar[str] = "restore it from a copy, or give `train --folds` its own options again"

    members: list[Text]
    """The run folders of the folds, beside this file."""
    measures: dict[str, list[float | None]]
    """For each measure its value in each fold, by that fold's own network and rule."""

    def of(self, measure: str) -> tuple[float, float]:
        """Mean over the folds, and standard deviation (of a sample) between them."""
        values = [value for value in self.measures[measure] if value is not None]
        if not values:
            return float("nan"), float("nan")
        return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0

    def _repr_html_(self) -> str:
        """For notebooks: each measure in each fold, and over them."""
        rows = []
        for measure, values in self.measures.items():
            figures = ["" if value is None else f"{value:.4f}" for value in values]
            mean, spread = self.of(measure)
            rows.append([measure, *figures, f"{mean:.4f} ± {spread:.4f}"])
        return html_table(["measure", *self.members, "mean ± deviation"], rows)

    def runs(self, folder: Path) -> list[RunFolder]:
        """The run folders.

        Raises:
            ValueError: one is not there.
        """
        found = [RunFolder(folder / name) for name in self.members]
        for run in found:
            if not run.is_run:
                raise InputError(
                    f"{printable(folder)}: its fold {printable(run.path.name)} is no run folder; "
                    f"{self.WAY_OUT}"
                )
        return found


def read_folds(folder: Path) -> FoldsRecord | None:
    """The record of a cross-validation; None where the folder is none.

    Raises:
        ValueError: the file is damaged or of a newer format.

    Example:
        >>> read_folds(Path("nowhere")) is None
        True
    """
    path = folder / FOLDS_FILE
    return FoldsRecord.read(path) if path.is_file() else None
