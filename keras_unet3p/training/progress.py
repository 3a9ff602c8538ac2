"""A progress bar a step and a line an epoch, for people who watch."""

from __future__ import annotations

import time

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SHOWN = ("loss", "dice", "val_loss", "val_dice", "val_iou")


class EpochProgress(keras.callbacks.Callback):
    """Shows a bar while an epoch runs and prints its loss, Dice and IoU when it ends.

    Args:
        console: where to write. Without a terminal (a log file) only the lines appear.
        epochs: the number of epochs of the whole run.
        steps_per_epoch: the training steps of an epoch.

    Example:
        >>> from rich.console import Console
        >>> callback = ku.training.EpochProgress(Console(), epochs=10, steps_per_epoch=100)
    """

    def __init__(self, console: Console, *, epochs: int, steps_per_epoch: int):
        super().__init__()
        self.console = console
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self._progress: Progress | None = None
        self._began = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task = self._progress.add_task(
            "", total=self.steps_per_epoch, epoch=f"{epoch + 1}/{self.epochs}", loss=float("nan")
        )
        self._progress.start()

    def on_train_batch_end(self, batch, logs=None):
        if self._progress is not None:
            loss = float((logs or {}).get("loss", float("nan")))
            self._progress.update(self._task, advance=1, loss=loss)

    def on_epoch_end(self, epoch, logs=None):
        self.stop()
        logs = logs or {}
        shown = "  ".join(f"{name} {float(logs[name]):.4f}" for name in _SHOWN if name in logs)
        seconds = time.perf_counter() - self._began
        width = len(str(self.epochs))
        self.console.print(
            f"epoch {epoch + 1:>{width}}/{self.epochs}  {shown}  {seconds:.1f} s",
            highlight=False,
            soft_wrap=True,
        )

    def on_train_end(self, logs=None):
        self.stop()

    def stop(self) -> None:
        """Take the bar away; to be called where an error has ended the training."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
