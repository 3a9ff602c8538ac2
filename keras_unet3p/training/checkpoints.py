"""Checkpoints of a run: the last epoch to continue from, and the best one to use."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path
from typing import Any

import keras

from keras_unet3p.files import remove_unfinished, replacing
from keras_unet3p.training.history import History

_LAST = re.compile(r"last-epoch-(\d+)\.keras")


class Checkpoints(keras.callbacks.Callback):
    """Writes the metrics, the last and the best model of a run at the end of every epoch.

    A kill at any moment loses at most the epoch under way. The order of the writes makes it so: the
    row of the metrics first, then the model under a name that holds its epoch, then the copy of the
    best. Whatever was written last, `resume` brings the three into step again.

    Args:
        folder: the run's folder. Holds `history.csv`, `last-epoch-NNNN.keras` (with the optimizer's
            state) and `best.keras`.
        monitor: the metric whose largest value marks the best epoch.
        patience: stop after this many epochs without a better one; None never stops.
    """

    def __init__(self, folder: Path, *, monitor: str = "val_dice", patience: int | None = None):
        super().__init__()
        self.folder = Path(folder)
        self.patience = patience
        self.history = History(self.folder / "history.csv", monitor)
        self._epoch_began = 0.0

    @property
    def best_path(self) -> Path:
        """The model of the best epoch."""
        return self.folder / "best.keras"

    def last(self) -> tuple[int, Path] | None:
        """The last complete epoch and its model; None before the first."""
        found = [
            (int(match[1]), path)
            for path in self.folder.glob("last-epoch-*.keras")
            if (match := _LAST.fullmatch(path.name))
        ]
        return max(found, default=None)

    def resume(self) -> tuple[int, Path] | None:
        """Bring metrics and best model into step with the last complete epoch and return it."""
        remove_unfinished(self.folder)
        last = self.last()
        epoch = last[0] if last else 0
        self.history.keep_until(epoch)
        if last:
            self._keep_best(last[1])
            self._remove_older_than(epoch)
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
        path = self.folder / f"last-epoch-{epoch + 1:04d}.keras"
        model: Any = self.model
        with replacing(path) as temporary:
            model.save(temporary)
        self._keep_best(path)
        self._remove_older_than(epoch + 1)
        if self.finished:
            model.stop_training = True

    def _keep_best(self, last: Path) -> None:
        best = self.history.best()
        if best is None or best["epoch"] == self.history.rows[-1]["epoch"]:
            with replacing(self.best_path) as temporary:
                shutil.copyfile(last, temporary)

    def _remove_older_than(self, epoch: int) -> None:
        for path in self.folder.glob("last-epoch-*.keras"):
            match = _LAST.fullmatch(path.name)
            if match and int(match[1]) < epoch:
                path.unlink()
