"""Progress of a training: one bar for the whole run and a line for each epoch, or lines alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from keras_unet3p.progress import SECONDS_BETWEEN_LINES, time_left

_SHOWN = ("loss", "dice", "val_loss", "val_dice", "val_iou")


class EpochProgress(keras.callbacks.Callback):
    """Shows how much of a run is done and how long the rest takes, and the figures of each epoch.

    In a terminal it is a bar for the whole run; in a log file a line at most every 30 seconds. The
    time left is known from the second step on: the first one compiles the graph.

    Args:
        console: where to write.
        epochs: number of epochs of the whole run; None for one that ends by time. It then shows the
            log `progress`.
        steps_per_epoch: number of training steps per epoch.
        seconds: of a run that ends by time, what is left of it at the start.
        clock: gives the time in seconds.

    Example:
        >>> import sys
        >>> from rich.console import Console
        >>> progress = EpochProgress(Console(file=sys.stdout), epochs=10, steps_per_epoch=100)
        >>> progress.on_epoch_begin(0)
        >>> progress.on_epoch_end(0, {"loss": 0.5, "val_dice": 0.8})  # doctest: +ELLIPSIS
        epoch  1/10  loss 0.5000  val_dice 0.8000  ... s
    """

    def __init__(
        self,
        console: Console,
        *,
        epochs: int | None,
        steps_per_epoch: int,
        seconds: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        super().__init__()
        self.console = console
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.seconds = seconds
        self._clock = clock
        self._bar: Progress | None = None
        self._started = self._began = self._told = clock()
        self._first_step: tuple[int, float] | None = None
        self._epoch = 0

    def on_train_begin(self, logs=None):
        self._started = self._told = self._clock()
        self._first_step = None

    def on_epoch_begin(self, epoch, logs=None):
        self._began, self._epoch = self._clock(), epoch
        if self._bar is None and self.console.is_terminal:
            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[loss]}  {task.fields[left]}"),
                console=self.console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=1.0, epoch="", loss="preparing", left="")
            self._bar.start()
        self._update(0)

    def on_train_batch_end(self, batch, logs=None):
        self._update(batch + 1, (logs or {}).get("loss"))

    def _update(self, steps: int, loss=None) -> None:
        """The bar, or a line from time to time.

        Args:
            steps: of this epoch that are done.
            loss: so far; None where it is not known.
        """
        now, done = self._clock(), self._epoch * self.steps_per_epoch + steps
        if loss is not None and self._first_step is None:
            self._first_step = done, now
        share, left = self._share(done, now)
        shown = "" if loss is None else f"loss {float(loss):.4f}"
        if self._bar is not None:
            fields: dict[str, Any] = {"epoch": self._name(self._epoch), "left": time_left(left)}
            if shown:
                fields["loss"] = shown
            self._bar.update(self._task, completed=share, **fields)
        elif shown and now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            step = f"step {steps}/{self.steps_per_epoch}"
            line = (
                f"epoch {self._name(self._epoch)}  {step}  {shown}  {share:.0%}  {time_left(left)}"
            )
            self.console.print(line.rstrip(), highlight=False, soft_wrap=True)

    def _share(self, done: int, now: float) -> tuple[float, float]:
        """Share of the run that is done, and seconds that are left; not a number if unknown."""
        if self.seconds is not None:
            left = max(self.seconds - (now - self._started), 0.0)
            return 1.0 - left / max(self.seconds, 1e-9), left
        total = (self.epochs or 0) * self.steps_per_epoch
        share = done / total if total else 0.0
        if self._first_step is None or done <= self._first_step[0]:
            return share, math.nan
        steps, began = self._first_step
        return share, (now - began) / (done - steps) * max(total - done, 0)

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        shown = "  ".join(f"{name} {float(logs[name]):.4f}" for name in _SHOWN if name in logs)
        now = self._clock()
        if self.epochs is None and "progress" in logs:
            shown = f"{float(logs['progress']):4.0%}  {shown}"
        self._told = now
        self.console.print(
            f"epoch {self._name(epoch)}  {shown}  {now - self._began:.1f} s",
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
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
