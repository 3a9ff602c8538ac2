"""The files of a training run, by name."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from keras_unet3p.artifacts.evaluation_report import REPORT
from keras_unet3p.artifacts.history import History
from keras_unet3p.artifacts.plan import Plan
from keras_unet3p.artifacts.postprocessing_record import PostprocessingRecord
from keras_unet3p.artifacts.run_record import RunRecord
from keras_unet3p.errors import InputError
from keras_unet3p.files import printable

_LAST = re.compile(r"last-epoch-(\d+)\.keras")
MONITOR = "val_dice"
"""The metric whose largest value marks a run's best epoch."""


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """A run folder: where its files lie, and what they say.

    Args:
        path: the folder; it need not exist.

    Example:
        >>> run = RunFolder("runs/cells")
        >>> run.best.as_posix(), run.last(7).as_posix()
        ('runs/cells/best.keras', 'runs/cells/last-epoch-0007.keras')
        >>> run.is_run
        False
    """

    path: Path

    def __init__(self, path: str | os.PathLike[str]) -> None:
        object.__setattr__(self, "path", Path(path))

    @property
    def config(self) -> Path:
        """`config.json`, the configuration as used; see `RunRecord`."""
        return self.path / "config.json"

    @property
    def history(self) -> Path:
        """`history.csv`, the metrics of every epoch; see `History`."""
        return self.path / "history.csv"

    @property
    def best(self) -> Path:
        """`best.keras`, the model of the best epoch."""
        return self.path / "best.keras"

    @property
    def postprocessing(self) -> Path:
        """`postprocessing.json`, what follows the best model; see `PostprocessingRecord`."""
        return self.path / "postprocessing.json"

    @property
    def plan(self) -> Path:
        """`plan.json`, the plan that the run follows; see `planning.Plan`."""
        return self.path / "plan.json"

    @property
    def report(self) -> Path:
        """`report.html`, the run for people, in one file."""
        return self.path / "report.html"

    @property
    def tensorboard(self) -> Path:
        """`tensorboard/`, the logs for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def validation(self) -> Path:
        """`validation/`, metrics and pictures of the best network on the held-out images."""
        return self.path / "validation"

    @property
    def validation_report(self) -> Path:
        """The `artifacts.EvaluationReport` in `validation/`."""
        return self.validation / REPORT

    @property
    def lock(self) -> Path:
        """`.lock`, held by the process that trains in the folder."""
        return self.path / ".lock"

    def last(self, epoch: int) -> Path:
        """`last-epoch-NNNN.keras`, the model after `epoch`, counted from 1."""
        return self.path / f"last-epoch-{epoch:04d}.keras"

    def saved(self) -> list[tuple[int, Path]]:
        """The epochs that have a model in the folder, and that, the last one first."""
        found = [
            (int(match[1]), path)
            for path in self.path.glob("last-epoch-*.keras")
            if (match := _LAST.fullmatch(path.name))
        ]
        return sorted(found, reverse=True)

    @property
    def is_run(self) -> bool:
        """Whether the folder holds a configuration."""
        return self.config.is_file()

    def read_record(self) -> RunRecord:
        """The configuration.

        Raises:
            ValueError: the folder holds none, or it is damaged or of a newer format.
        """
        if not self.is_run:
            raise InputError(
                f"{printable(self.path)} is no run folder: it has no config.json; `train` makes one"
            )
        return RunRecord.read(self.config)

    def read_history(self, monitor: str = MONITOR) -> History:
        """The metrics; those of a folder without any are empty.

        Args:
            monitor: the metric whose largest value marks the best epoch.

        Raises:
            ValueError: the file is damaged.
        """
        return History(self.history, monitor)

    def read_plan(self) -> Plan | None:
        """The plan that the run follows; None where it was begun without one.

        Raises:
            ValueError: the file is damaged or of a newer format.
        """
        return Plan.read(self.plan) if self.plan.is_file() else None

    def read_postprocessing(self) -> PostprocessingRecord | None:
        """What was chosen to follow the best model; None where nothing was.

        What was chosen for an earlier best model, before the training went on, does not count.

        Raises:
            ValueError: a file is damaged or of a newer format.
        """
        if not self.postprocessing.is_file():
            return None
        record, best = PostprocessingRecord.read(self.postprocessing), self.read_history().best()
        is_outdated = best is not None and record.epoch not in (None, int(best["epoch"]))
        return None if is_outdated else record
