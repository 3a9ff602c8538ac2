"""The callback that sets the learning rate and ends a run in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras

from keras_unet3p.artifacts import History
from keras_unet3p.training.budget import Budget
from keras_unet3p.training.stretch import Stretch
from keras_unet3p.training.warmup_cosine import WarmupCosine


class Pace(keras.callbacks.Callback):
    """Sets the learning rate of every step, and ends the epoch in which the budget is used up.

    It adds `progress` (the share of the annealing that is done), `hours` (in runs that end by time)
    and `learning_rate` (of the last step) to the logs of an epoch. It must come before the callback
    that writes them into the history.

    Until the first epoch is measured, a run that ends by time follows the clock step by step. All
    later epochs follow the plan that was made before them.

    Args:
        budget: the length of the run.
        history: the epochs that are done.
        schedule: the learning rate; None leaves the optimizer's own.
        clock: function that gives seconds.

    Example:
        >>> pace = Pace(Budget(10, epochs=2), History("history.csv", "dice"))
        >>> pace.on_epoch_begin(0)
        >>> pace.on_train_batch_begin(4)
        >>> pace.on_train_batch_end(4)
        >>> pace.progress
        0.25
    """

    def __init__(
        self,
        budget: Budget,
        history: History,
        *,
        schedule: WarmupCosine | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        super().__init__()
        self.budget = budget
        self.history = history
        self.schedule = schedule
        self.clock = clock
        self.progress = 0.0
        self._ahead = Stretch(0, 0.0, 1)
        self._began = 0.0
        self._steps = 0
        self._rate = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._ahead = self.budget.ahead(self.history.rows) or self._ahead
        self._began = self.clock()
        self._steps = 0

    def on_train_batch_begin(self, batch, logs=None):
        if self.schedule is not None:
            before, after = self._progress_after(batch), self._progress_after(batch + 1)
            self._rate = self.schedule.rate(self._ahead.first_step + batch, before, after)
            model: Any = self.model
            model.optimizer.learning_rate = self._rate

    def on_train_batch_end(self, batch, logs=None):
        self._steps = batch + 1
        self.progress = self._progress_after(self._steps)
        if self.progress >= 1:
            model: Any = self.model
            model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        if logs is None or (self.schedule is None and self.budget.hours is None):
            return
        logs["progress"] = self._progress_after(self._steps)
        if self.budget.hours is not None:
            logs["hours"] = self.budget.hours
        if self.schedule is not None:
            logs["learning_rate"] = self._rate

    def _progress_after(self, steps: int) -> float:
        return self._ahead.progress_after(steps, self.clock() - self._began)
