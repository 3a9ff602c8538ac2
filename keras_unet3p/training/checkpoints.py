"""Checkpoints of a run: the last epochs, to continue from, and the best one, to use."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_unet3p.artifacts import RunFolder
from keras_unet3p.artifacts.run_folder import MONITOR
from keras_unet3p.errors import InputError
from keras_unet3p.files import archive_damage, printable, remove_unfinished, replacing


class Checkpoints(keras.callbacks.Callback):
    """Writes the metrics, the last and the best model of a run at the end of every epoch.

    A kill loses at most the current epoch. The files are written in this order: the row of metrics,
    the model with the epoch in its name, the copy of the best model. If a kill comes in between,
    `resume` makes them consistent again.

    The model of the epoch before the last is kept too. If the last one is damaged, or its row of
    metrics is missing, `resume` goes back to the one before. `best.keras` may then be one epoch
    ahead until that epoch is trained again.

    Args:
        folder: the run folder. It holds `history.csv`, `last-epoch-NNNN.keras` (with the state of
            the optimizer) of the last two epochs, and `best.keras`.
        monitor: metric whose largest value marks the best epoch.
        patience: number of epochs without improvement after which training stops; None never stops.
        report: function that is called with one sentence for each damaged file that `resume` did
            not need.

    Raises:
        ValueError: if `history.csv` is damaged.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> checkpoints = Checkpoints(folder.name, monitor="val_dice", patience=5)
        >>> checkpoints.resume() is None, checkpoints.run.last(3).name
        (True, 'last-epoch-0003.keras')
        >>> folder.cleanup()
    """

    def __init__(
        self,
        folder: Path,
        *,
        monitor: str = MONITOR,
        patience: int | None = None,
        report: Callable[[str], object] = warnings.warn,
    ):
        super().__init__()
        self.patience = patience
        self.report = report
        self.run = RunFolder(folder)
        self.history = self.run.read_history(monitor)
        self._epoch_began = 0.0

    def resume(self) -> tuple[int, Path] | None:
        """Make metrics and best model consistent with the last undamaged checkpoint.

        Returns:
            Epoch and path of that checkpoint; None if there is no checkpoint at all.

        Raises:
            ValueError: if there are checkpoints, but none from which training can continue.
        """
        remove_unfinished(self.run.path)
        saved = self.run.saved()
        last = self._newest_sound(saved) if saved else None
        self.history.keep_until(last[0] if last else 0)
        if last:
            self._keep_best(last[1])
            self._replace_damaged_best(last[1])
            self._remove_all_but_one_before(last[0])
        return last

    @property
    def finished(self) -> bool:
        """Whether the number of epochs without improvement has reached `patience`."""
        return self.patience is not None and (
            self.history.epochs_without_improvement() >= self.patience
        )

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1}
        row.update({name: float(value) for name, value in (logs or {}).items()})
        row["seconds"] = round(time.perf_counter() - self._epoch_began, 3)
        self.history.append(row)
        path = self.run.last(epoch + 1)
        model: Any = self.model
        with replacing(path, durable=True) as temporary:
            model.save(temporary)
        self._keep_best(path)
        self._remove_all_but_one_before(epoch + 1)
        if self.finished:
            model.stop_training = True

    def _newest_sound(self, saved: list[tuple[int, Path]]) -> tuple[int, Path]:
        rows = {row["epoch"] for row in self.history.rows}
        problems: list[str] = []
        for epoch, path in saved:
            problem = archive_damage(path)
            if problem is None and epoch not in rows:
                problem = f"{self.history.path.name} has no row of its epoch"
            if problem is None:
                for line in problems:
                    self.report(f"{line}; the run continues from epoch {epoch}, {path.name}")
                return epoch, path
            problems.append(f"{printable(path)}: {problem}")
        raise InputError(
            f"{'; '.join(problems)}; there is no other checkpoint to continue from: restore one "
            f"from a copy, {self._way_with_the_best(saved[-1][0])}or start over in another run "
            "folder"
        )

    def _way_with_the_best(self, oldest: int) -> str:
        best = self.history.best()
        # If the best epoch is that of the oldest checkpoint or later, a kill may have prevented the
        # copy to `best.keras`.
        if best is None or best["epoch"] >= oldest or archive_damage(self.run.best):
            return ""
        target = self.run.last(int(best["epoch"])).name
        return f"copy {self.run.best.name} to {target} to continue from there, "

    def _keep_best(self, last: Path) -> None:
        best = self.history.best()
        if best is None or best["epoch"] == self.history.rows[-1]["epoch"]:
            self._copy_to_best(last)

    def _replace_damaged_best(self, last: Path) -> None:
        problem = archive_damage(self.run.best) if self.run.best.exists() else "it is missing"
        if problem:
            self._copy_to_best(last)
            self.report(
                f"{printable(self.run.best)}: {problem}; it is the model of {last.name} until a "
                "better epoch comes"
            )

    def _copy_to_best(self, last: Path) -> None:
        with replacing(self.run.best, durable=True) as temporary:
            shutil.copyfile(last, temporary)

    def _remove_all_but_one_before(self, epoch: int) -> None:
        before = [path for other, path in self.run.saved() if other < epoch]
        for path in before[1:]:
            path.unlink()
