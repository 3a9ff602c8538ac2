"""The training run: build or resume, fit, save metrics and weights."""

from __future__ import annotations

import contextlib
import os
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
from keras_unet3p.training.checkpoints import Checkpoints
from keras_unet3p.training.finite_check import FiniteCheck


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
    epochs: int,
    steps_per_epoch: int,
    strategy: tf.distribute.Strategy | None = None,
    monitor: str = MONITOR,
    patience: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    report: Callable[[str], object] = warnings.warn,
    lock: bool = True,
    prepare: Callable[[Any], object] | None = None,
) -> Path:
    """Train a model in a run folder. The same call continues a run that was stopped or killed.

    Args:
        build: function that makes the compiled model. It is called under the strategy's scope, so
            that the optimizer is made there too. It is not called if the folder holds a checkpoint.
        training_data: function from the number of steps already done to an endless dataset of
            (image, mask[, weight map]) batches that continues from there.
        validation_data: function from the model to a finite dataset of (image, mask[, weight map])
            batches of a size that the model takes.
        folder: the run folder, with `history.csv`, `last-epoch-NNNN.keras` of the last two epochs,
            `best.keras` and TensorBoard logs in `tensorboard/`.
        epochs: number of epochs of the whole run, finished ones included.
        steps_per_epoch: training steps between two validations.
        strategy: `tf.distribute` strategy; None takes TensorFlow's current one.
        monitor: metric whose largest value marks the best epoch.
        patience: number of epochs without improvement after which training stops; None trains all
            epochs.
        callbacks: further Keras callbacks.
        report: function that is called with one sentence for each damaged file that the run did
            not need.
        prepare: takes the model, new or continued, before it is trained.
        lock: whether to hold the folder's `run_lock` meanwhile; False if the caller holds it.

    Returns:
        The path of the best model.

    Raises:
        ValueError: if another process trains in the folder; if files are damaged and no checkpoint
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
    folder = Path(folder)
    with run_lock(folder) if lock else contextlib.nullcontext():
        checkpoints = Checkpoints(folder, monitor=monitor, patience=patience, report=report)
        last = checkpoints.resume()
        done = last[0] if last else 0
        if done >= epochs or (done and checkpoints.finished):
            return checkpoints.run.best

        chosen: Any = strategy or tf.distribute.get_strategy()
        with chosen.scope():
            model: Any = _load(last[1]) if last else build()
        if prepare is not None:
            prepare(model)
        validation = validation_data(model)
        tensorboard = checkpoints.run.tensorboard
        with naming_full_disk(tensorboard):
            model.fit(
                training_data(done * steps_per_epoch),
                validation_data=validation,
                epochs=epochs,
                initial_epoch=done,
                steps_per_epoch=steps_per_epoch,
                verbose=0,
                shuffle=False,
                callbacks=[
                    FiniteCheck(
                        checkpoints, training_data, validation, steps_per_epoch=steps_per_epoch
                    ),
                    *callbacks,
                    keras.callbacks.TensorBoard(str(tensorboard), write_graph=False),
                    # The last one, so that the row holds what the others add to the logs.
                    checkpoints,
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
