"""Checkpoints of a run: the last epochs to continue from, and the best one to use."""

from __future__ import annotations

import re
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_unet3p.errors import InputError
from keras_unet3p.files import archive_damage, printable, remove_unfinished, replacing
from keras_unet3p.training.history import History

_LAST = re.compile(r"last-epoch-(\d+)\.keras")


class Checkpoints(keras.callbacks.Callback):
    """Writes the metrics, the last and the best model of a run at the end of every epoch.

    A kill at any moment loses at most the epoch under way. The order of the writes makes it so: the
    row of the metrics first, then the model under a name that holds its epoch, then the copy of the
    best. Whatever was written last, `resume` brings the three into step again.

    The model of the epoch before the last is kept as well: where the last one turns out to be
    damaged, or the metrics have lost its row, `resume` goes back to it. `best.keras` may then be
    ahead by the epoch that was lost, until that has been trained again.

    Args:
        folder: the run's folder. Holds `history.csv`, `last-epoch-NNNN.keras` (with the optimizer's
            state) of the last two epochs, and `best.keras`.
        monitor: the metric whose largest value marks the best epoch.
        patience: stop after this many epochs without a better one; None never stops.
        report: takes a sentence for each damaged file that `resume` could do without.

    Raises:
        ValueError: `history.csv` is damaged.

    Example:
        >>> import pathlib
        >>> checkpoints = ku.training.Checkpoints(pathlib.Path("runs/cells"), patience=10)
        >>> checkpoints.best_path.name, checkpoints.path(7).name
        ('best.keras', 'last-epoch-0007.keras')
    """

    def __init__(
        self,
        folder: Path,
        *,
        monitor: str = "val_dice",
        patience: int | None = None,
        report: Callable[[str], object] = warnings.warn,
    ):
        super().__init__()
        self.folder = Path(folder)
        self.patience = patience
        self.report = report
        self.history = History(self.folder / "history.csv", monitor)
        self._epoch_began = 0.0

    @property
    def best_path(self) -> Path:
        """The model of the best epoch."""
        return self.folder / "best.keras"

    def path(self, epoch: int) -> Path:
        """The model after `epoch`, counted from 1."""
        return self.folder / f"last-epoch-{epoch:04d}.keras"

    def saved(self) -> list[tuple[int, Path]]:
        """The epochs that have a model in the folder, and that, the last one first."""
        found = [
            (int(match[1]), path)
            for path in self.folder.glob("last-epoch-*.keras")
            if (match := _LAST.fullmatch(path.name))
        ]
        return sorted(found, reverse=True)

    def resume(self) -> tuple[int, Path] | None:
        """Bring metrics and best model into step with the last sound checkpoint and return it.

        Returns:
            Its epoch and path; None where there is no checkpoint at all.

        Raises:
            ValueError: there are checkpoints, and none of them can be continued from.
        """
        remove_unfinished(self.folder)
        saved = self.saved()
        last = self._newest_sound(saved) if saved else None
        self.history.keep_until(last[0] if last else 0)
        if last:
            self._keep_best(last[1])
            self._replace_damaged_best(last[1])
            self._remove_all_but_one_before(last[0])
        return last

    @property
    def finished(self) -> bool:
        """Whether patience has run out."""
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
        path = self.path(epoch + 1)
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
        # Of the oldest checkpoint's epoch or a later one, the copy may not have been made.
        if best is None or best["epoch"] >= oldest or archive_damage(self.best_path):
            return ""
        target = self.path(int(best["epoch"])).name
        return f"copy {self.best_path.name} to {target} to continue from there, "

    def _keep_best(self, last: Path) -> None:
        best = self.history.best()
        if best is None or best["epoch"] == self.history.rows[-1]["epoch"]:
            self._copy_to_best(last)

    def _replace_damaged_best(self, last: Path) -> None:
        problem = archive_damage(self.best_path) if self.best_path.exists() else "it is missing"
        if problem:
            self._copy_to_best(last)
            self.report(
                f"{printable(self.best_path)}: {problem}; it is the model of {last.name} until a "
                "better epoch comes"
            )

    def _copy_to_best(self, last: Path) -> None:
        with replacing(self.best_path, durable=True) as temporary:
            shutil.copyfile(last, temporary)

    def _remove_all_but_one_before(self, epoch: int) -> None:
        before = [path for other, path in self.saved() if other < epoch]
        for path in before[1:]:
            path.unlink()
