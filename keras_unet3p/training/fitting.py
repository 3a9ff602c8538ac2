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
from keras_unet3p.files import naming_full_disk, printable
from keras_unet3p.layers.weight_values import non_finite_weights
from keras_unet3p.training.budget import Budget
from keras_unet3p.training.checkpoints import Checkpoints
from keras_unet3p.training.finite_check import FiniteCheck
from keras_unet3p.training.pace import Pace
from keras_unet3p.training.warmup_cosine import WarmupCosine
from keras_unet3p.training.weight_average import WeightAverage
from keras_unet3p.training.workers import Workers


def fit(
    build: Callable[[], keras.Model],
    training_data: Callable[..., tf.data.Dataset],
    validation_data: Callable[..., tf.data.Dataset],
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

    On several machines (`choose_strategy("multi_worker")`) every process makes this call. The
    chief writes the run folder; the others must see it too, to continue a run. The last epoch is
    lost if one of them ends, and with it the others do.

    Args:
        build: function that makes the compiled model. It is called under the strategy's scope, so
            that the optimizer is made there too. It is not called if the folder holds a checkpoint.
        training_data: function from the number of steps already done to an endless dataset of
            (image, mask[, weight map]) batches that continues from there. On several machines it
            gets a `tf.distribute.InputContext` besides, for `data.training_pipeline`.
        validation_data: function from the model to a finite dataset of (image, mask[, weight map])
            batches of a size that the model takes. On several machines from model and
            `InputContext`, for `data.validation_pipeline`, to the batches of that one.
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
        WorkerLostError: if another process of a training on several machines has ended.
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
    chosen: Any = strategy or tf.distribute.get_strategy()
    workers = Workers(chosen)
    shared = workers.folder(folder) if lock else contextlib.nullcontext(Path(folder))
    with workers.noticing_losses(), shared as path:
        if hours is not None:
            clock = workers.clock(clock)
        checkpoints = Checkpoints(
            path,
            monitor=monitor,
            patience=patience,
            budget=budget,
            clock=clock,
            report=report,
        )
        last = checkpoints.resume()
        done = last[0] if last else 0
        workers.agree(
            done, "folder: epochs done (the chief's run folder must be one that all machines see)"
        )
        if last and checkpoints.finished:
            return RunFolder(folder).best

        with chosen.scope():
            model: Any = _load(last[1]) if last else build()
        if prepare is not None:
            prepare(model)
        batches = _Batches(workers, training_data, validation_data, model, done * steps_per_epoch)
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
                batches.training,
                validation_data=batches.validation,
                validation_steps=batches.validation_steps,
                epochs=sys.maxsize if hours is not None else epochs,
                initial_epoch=done,
                steps_per_epoch=steps_per_epoch,
                verbose=0,
                shuffle=False,
                callbacks=[
                    # The first, so that all others see the averages after an epoch.
                    *averages,
                    FiniteCheck(
                        checkpoints,
                        training_data,
                        batches.own_validation,
                        steps_per_epoch=steps_per_epoch,
                    ),
                    Pace(budget, checkpoints.history, schedule=learning_rate, clock=clock),
                    *callbacks,
                    keras.callbacks.TensorBoard(str(tensorboard), write_graph=False),
                    # After these, so that the row holds what they add to the logs.
                    checkpoints,
                    *observers,
                ],
            )
    return RunFolder(folder).best


class _Batches:
    """What `fit` gets: datasets, or on several machines the distributed ones.

    Attributes:
        own_validation: the batches of the validation that this process makes.
        validation_steps: their number, which must be told on several machines; else None.
    """

    def __init__(self, workers: Workers, training_data, validation_data, model, steps_done: int):
        self.validation_steps: int | None = None
        if not workers.are_several:
            self.training = training_data(steps_done)
            self.own_validation = self.validation = validation_data(model)
            return
        self.training = workers.distribute(lambda context: training_data(steps_done, context))
        contexts: list[tf.distribute.InputContext] = []

        def validation(context):
            contexts.append(context)
            self.own_validation = validation_data(model, context)
            # Without an end, at which the processes would have to arrive together.
            return self.own_validation.repeat()

        self.validation = workers.distribute(validation)
        (context,) = contexts
        replicas = context.num_replicas_in_sync // context.num_input_pipelines
        steps = int(self.own_validation.cardinality()) // replicas
        workers.agree(steps, "validation_data: steps")
        self.validation_steps = steps


def _load(path: Path) -> keras.Model:
    model: Any = keras.models.load_model(path)
    weights = non_finite_weights(model)
    if weights:
        raise InputError(
            f"{printable(path)}: weights are not finite ({weights}): the training had diverged; "
            "start over in another run folder, with a lower learning rate"
        )
    return model
