"""Checkpoints of a run: the last epochs, to continue from, and the best one, to use."""

from __future__ import annotations

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
from keras_unet3p.training import saved_averages
from keras_unet3p.training.budget import Budget
from keras_unet3p.training.weight_average import WeightAverage


class Checkpoints(keras.callbacks.Callback):
    """Writes the metrics, the last and the best model of a run at the end of every epoch.

    A kill loses at most the current epoch. The files are written in this order: the row of metrics,
    the model with the epoch in its name, the copy of the best model. If a kill comes in between,
    `resume` makes them consistent again.

    The model of the epoch before the last is kept too. If the last one is damaged, or its row of
    metrics is missing, `resume` goes back to the one before. `best.keras` may then be one epoch
    ahead until that epoch is trained again.

    If the weights are averaged, `last-epoch-NNNN.keras` holds the weights of the training and,
    beside them, the averages; `best.keras` holds the averages as its weights.

    Args:
        folder: the run folder. It holds `history.csv`, `last-epoch-NNNN.keras` (with the state of
            the optimizer) of the last two epochs, and `best.keras`.
        monitor: metric whose largest value marks the best epoch.
        patience: number of epochs without improvement after which training stops; None never stops.
        budget: the length of the run; None leaves the end to `fit`.
        clock: function that gives seconds, for the column `seconds`: the time from one row to the
            next.
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
        budget: Budget | None = None,
        clock: Callable[[], float] = time.perf_counter,
        report: Callable[[str], object] = warnings.warn,
    ):
        super().__init__()
        self.patience = patience
        self.budget = budget
        self.clock = clock
        self.average: WeightAverage | None = None
        self.report = report
        self.run = RunFolder(folder)
        self.history = self.run.read_history(monitor)
        self._last_row = 0.0

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
            if self._is_best_last():
                self._copy_to_best(last[1])
            self._replace_damaged_best(last[1])
            self._remove_all_but_one_before(last[0])
        return last

    @property
    def finished(self) -> bool:
        """Whether the budget is used up, or as many epochs without improvement as `patience`."""
        if self.budget is not None and self.budget.ahead(self.history.rows) is None:
            return True
        return (
            self.patience is not None
            and bool(self.history.rows)
            and self.history.epochs_without_improvement() >= self.patience
        )

    def on_train_begin(self, logs=None):
        self._last_row = self.clock()

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1}
        row.update({name: float(value) for name, value in (logs or {}).items()})
        # From row to row: the time of writing the files counts in the next epoch.
        now = self.clock()
        row["seconds"] = round(now - self._last_row, 3)
        self._last_row = now
        self.history.append(row)
        model: Any = self.model
        path = self.run.last(epoch + 1)
        self._save_last(model, path)
        if self._is_best_last():
            self._save_best(model, path)
        self._remove_all_but_one_before(epoch + 1)
        if self.finished:
            model.stop_training = True

    def _save_last(self, model: Any, path: Path) -> None:
        with replacing(path, durable=True) as temporary:
            if self.average is None:
                model.save(temporary)
                return
            self.average.show_weights()
            model.save(temporary)
            self.average.append_to(temporary)

    def _save_best(self, model: Any, last: Path) -> None:
        if self.average is None:
            self._copy_to_best(last)
            return
        self.average.show_averages()
        with replacing(self.run.best, durable=True) as temporary:
            model.save(temporary)

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

    def _is_best_last(self) -> bool:
        best = self.history.best()
        return best is None or best["epoch"] == self.history.rows[-1]["epoch"]

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
            saved_averages.copy_averaged(last, temporary)

    def _remove_all_but_one_before(self, epoch: int) -> None:
        before = [path for other, path in self.run.saved() if other < epoch]
        for path in before[1:]:
            path.unlink()
