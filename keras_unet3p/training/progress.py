"""Progress of the training in a terminal: a bar for the steps, one line per epoch."""

from __future__ import annotations

import time

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SHOWN = ("loss", "dice", "val_loss", "val_dice", "val_iou")


class EpochProgress(keras.callbacks.Callback):
    """Shows a bar during each epoch and prints loss, Dice and IoU at its end.

    Args:
        console: where to write. If it is not a terminal (a log file) only the lines are written.
        epochs: number of epochs of the whole run; None for one that ends by time. It then shows the
            log `progress`.
        steps_per_epoch: number of training steps per epoch.

    Example:
        >>> import sys
        >>> from rich.console import Console
        >>> progress = EpochProgress(Console(file=sys.stdout), epochs=10, steps_per_epoch=100)
        >>> progress.on_epoch_begin(0)
        >>> progress.on_epoch_end(0, {"loss": 0.5, "val_dice": 0.8})  # doctest: +ELLIPSIS
        epoch  1/10  loss 0.5000  val_dice 0.8000  ... s
    """

    def __init__(self, console: Console, *, epochs: int | None, steps_per_epoch: int):
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
            "", total=self.steps_per_epoch, epoch=self._name(epoch), loss=float("nan")
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
        if self.epochs is None and "progress" in logs:
            shown = f"{float(logs['progress']):4.0%}  {shown}"
        self.console.print(
            f"epoch {self._name(epoch)}  {shown}  {seconds:.1f} s",
            highlight=False,
            soft_wrap=True,
        )

    def _name(self, epoch: int) -> str:
        if self.epochs is None:
            return str(epoch + 1)
        return f"{epoch + 1:>{len(str(self.epochs))}}/{self.epochs}"

    def on_train_end(self, logs=None):
        self.stop()

    def stop(self) -> None:
        """Remove the bar. Call it if an error has ended the training."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
