"""The training run: build or resume, fit, save metrics and weights."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_unet3p.artifacts import RunFolder
from keras_unet3p.artifacts.run_folder import MONITOR
from keras_unet3p.errors import InputError
from keras_unet3p.files import locked, naming_full_disk, printable
from keras_unet3p.layers.weight_values import non_finite_weights
from keras_unet3p.training.budget import Budget
from keras_unet3p.training.checkpoints import Checkpoints
from keras_unet3p.training.finite_check import FiniteCheck
from keras_unet3p.training.pace import Pace
from keras_unet3p.training.warmup_cosine import WarmupCosine
from keras_unet3p.training.weight_average import WeightAverage


def run_lock(folder: str | os.PathLike[str]) -> contextlib.AbstractContextManager[None]:
    """Return the lock of a run folder, a context manager: one training at a time may write there.

    Raises:
        ValueError: on entering, if another process trains in the folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, run_lock(folder):
        ...     pass  # train
    """
    return locked(RunFolder(folder).lock, f"run folder {printable(folder)}")


def fit(
    build: Callable[[], keras.Model],
    training_data: Callable[[int], tf.data.Dataset],
    validation_data: Callable[[keras.Model], tf.data.Dataset],
    folder: str | os.PathLike[str],
    *,
    epochs: int | None = None,
    hours: float | None = None,
    steps_per_epoch: int,
    learning_rate: WarmupCosine | None = None,
    weight_average: float | None = None,
    strategy: tf.distribute.Strategy | None = None,
    monitor: str = MONITOR,
    patience: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    observers: Sequence[keras.callbacks.Callback] = (),
    report: Callable[[str], object] = warnings.warn,
    lock: bool = True,
    prepare: Callable[[Any], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Path:
    """Train a model in a run folder. The same call continues a run that was stopped or killed.

    A finished run goes on if it is called with more `epochs` or `hours`. With `learning_rate` the
    rate then rises and falls again over the steps that were added.

    A run of `epochs` depends on its arguments only. In a run of `hours` the number of steps, and
    with it the learning rate, depends on the measured time.

    Args:
        build: function that makes the compiled model. It is called under the strategy's scope, so
            that the optimizer is made there too. It is not called if the folder holds a checkpoint.
        training_data: function from the number of steps already done to an endless dataset of
            (image, mask[, weight map]) batches that continues from there.
        validation_data: function from the model to a finite dataset of (image, mask[, weight map])
            batches of a size that the model takes.
        folder: the run folder, with `history.csv`, `last-epoch-NNNN.keras` of the last two epochs,
            `best.keras` and TensorBoard logs in `tensorboard/`.
        epochs: number of epochs of the whole run, finished ones included. Not used with `hours`.
        hours: time of the whole run, above 0; the epochs that are in the history count with their
            `seconds`. The last epoch may be shorter. The first epoch, whose length is not known
            before, ends at the latest when the time is up.
        steps_per_epoch: training steps between two validations.
        learning_rate: schedule of the optimizer's learning rate, which must be a number then; None
            leaves the optimizer as it is built.
        weight_average: momentum of an exponential moving average of the weights, see
            `WeightAverage`. Validation, callbacks at the end of an epoch and `best.keras` use the
            averages. None or 0 uses the weights as they are.
        strategy: `tf.distribute` strategy; None takes TensorFlow's current one.
        monitor: metric whose largest value marks the best epoch.
        patience: number of epochs without improvement after which training stops; None trains all
            epochs.
        callbacks: further Keras callbacks, which may add to the logs.
        observers: those that come last: an epoch is saved before they see its logs, so that it is
            not lost where they fail.
        report: function that is called with one sentence for each damaged file that the run did
            not need.
        prepare: takes the model, new or continued, before it is trained.
        lock: whether to hold the folder's `run_lock` meanwhile; False if the caller holds it.
        clock: function that gives seconds, which rise.

    Returns:
        The path of the best model.

    Raises:
        ValueError: if neither epochs nor hours are given; if another process trains in the folder;
            if files are damaged and no checkpoint
            is left to continue from; or if a loss, a validation loss or a weight is not finite. In
            the last case the last finite checkpoint stays and the batch is saved as `.npz`.
        OSError: if the disk is full. The message names the file and the free space.

    Example:
        >>> from keras_unet3p import losses, metrics, models
        >>> def build():
        ...     model = models.unet(filters=2, depth=1)
        ...     model.compile("adam", losses.Dice(), metrics=[metrics.Dice()])
        ...     return model
        >>> best = fit(  # doctest: +SKIP
        ...     build, training_data, validation_data, "runs/cells", epochs=2, steps_per_epoch=10
        ... )
    """
    if epochs is None and hours is None:
        raise InputError("epochs: expected their number, or hours, found neither")
    budget = Budget(steps_per_epoch, epochs, hours)
    with run_lock(folder) if lock else contextlib.nullcontext():
        checkpoints = Checkpoints(
            Path(folder),
            monitor=monitor,
            patience=patience,
            budget=budget,
            clock=clock,
            report=report,
        )
        last = checkpoints.resume()
        if last and checkpoints.finished:
            return checkpoints.run.best
        done = last[0] if last else 0

        chosen: Any = strategy or tf.distribute.get_strategy()
        with chosen.scope():
            model: Any = _load(last[1]) if last else build()
        if prepare is not None:
            prepare(model)
        validation = validation_data(model)
        averages = []
        if weight_average:
            average = WeightAverage(
                model, weight_average, steps_done=done * steps_per_epoch, strategy=chosen
            )
            if last:
                average.take_from(last[1])
            checkpoints.average = average
            averages.append(average)
        tensorboard = checkpoints.run.tensorboard
        with naming_full_disk(tensorboard):
            model.fit(
                training_data(done * steps_per_epoch),
                validation_data=validation,
                epochs=sys.maxsize if hours is not None else epochs,
                initial_epoch=done,
                steps_per_epoch=steps_per_epoch,
                verbose=0,
                shuffle=False,
                callbacks=[
                    # The first, so that all others see the averages after an epoch.
                    *averages,
                    FiniteCheck(
                        checkpoints, training_data, validation, steps_per_epoch=steps_per_epoch
                    ),
                    Pace(budget, checkpoints.history, schedule=learning_rate, clock=clock),
                    *callbacks,
                    keras.callbacks.TensorBoard(str(tensorboard), write_graph=False),
                    # After these, so that the row holds what they add to the logs.
                    checkpoints,
                    *observers,
                ],
            )
    return checkpoints.run.best


def _load(path: Path) -> keras.Model:
    model: Any = keras.models.load_model(path)
    weights = non_finite_weights(model)
    if weights:
        raise InputError(
            f"{printable(path)}: weights are not finite ({weights}): the training had diverged; "
            "start over in another run folder, with a lower learning rate"
        )
    return model
