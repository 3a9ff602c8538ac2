"""The training run: build or resume, fit, keep the metrics and the weights."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_unet3p.errors import InputError
from keras_unet3p.files import locked, naming_full_disk, printable
from keras_unet3p.layers.weight_values import non_finite_weights
from keras_unet3p.training.checkpoints import Checkpoints
from keras_unet3p.training.finite_check import FiniteCheck


def run_lock(folder: str | os.PathLike[str]) -> contextlib.AbstractContextManager[None]:
    """The lock on a run folder: one training at a time writes into it.

    Raises:
        ValueError: on entering it, where another process trains in the folder.

    Example:
        >>> with ku.training.run_lock("runs/cells"):
        ...     print("only this process trains in the folder")
        only this process trains in the folder
    """
    return locked(Path(folder) / ".lock", f"run folder {printable(folder)}")


def fit(
    build: Callable[[], keras.Model],
    training_data: Callable[[int], tf.data.Dataset],
    validation_data: Callable[[keras.Model], tf.data.Dataset],
    folder: str | os.PathLike[str],
    *,
    epochs: int,
    steps_per_epoch: int,
    strategy: tf.distribute.Strategy | None = None,
    monitor: str = "val_dice",
    patience: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    report: Callable[[str], object] = warnings.warn,
    lock: bool = True,
) -> Path:
    """Train a model in a run folder; the same call continues a run that was stopped or killed.

    Args:
        build: makes the compiled model; called under the strategy's scope, so that the optimizer
            is made there too. Not called when the folder holds a checkpoint.
        training_data: takes the number of steps already done and gives an endless dataset of
            (image, mask[, weight map]) batches that goes on from there.
        validation_data: takes the model and gives a finite dataset of
            (image, mask[, weight map]) batches of a size that the model takes.
        folder: the run's folder: `history.csv`, `last-epoch-NNNN.keras` of the last two epochs,
            `best.keras` and TensorBoard logs in `tensorboard/`.
        epochs: of the whole run, those done before included.
        steps_per_epoch: training steps between two validations.
        strategy: `tf.distribute` strategy; None takes TensorFlow's current one.
        monitor: metric whose largest value marks the best epoch.
        patience: epochs without a better one before training stops; None trains all of them.
        callbacks: further Keras callbacks.
        report: takes a sentence for each damaged file that the run could do without.
        lock: hold the folder's `run_lock` meanwhile; False where the caller holds it.

    Returns:
        The path of the best model.

    Raises:
        ValueError: another process trains in the folder; its files are damaged, and no checkpoint
            is left to continue from; or a loss, a validation loss or a weight is not finite, in
            which case the last finite checkpoint stays and the batch is saved as `.npz`.
        OSError: the disk is full; the message names the file and the space that is left.

    Example:
        >>> def build():
        ...     model = ku.models.unet(filters=2, depth=1)
        ...     model.compile("adam", ku.losses.Dice(), metrics=[ku.metrics.Dice(name="dice")])
        ...     return model
        >>> batch = np.zeros((1, 8, 8, 1)), np.zeros((1, 8, 8), int)
        >>> data = tf.data.Dataset.from_tensors(batch).repeat()
        >>> best = ku.training.fit(
        ...     build, data.skip, lambda model: data.take(1), "run", epochs=1, steps_per_epoch=2
        ... )
        >>> best.name
        'best.keras'
    """
    folder = Path(folder)
    with run_lock(folder) if lock else contextlib.nullcontext():
        checkpoints = Checkpoints(folder, monitor=monitor, patience=patience, report=report)
        last = checkpoints.resume()
        done = last[0] if last else 0
        if done >= epochs or (done and checkpoints.finished):
            return checkpoints.best_path

        chosen: Any = strategy or tf.distribute.get_strategy()
        with chosen.scope():
            model: Any = _load(last[1]) if last else build()
        validation = validation_data(model)
        tensorboard = folder / "tensorboard"
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
                    # Last, so that whatever the others add to the logs is in the row.
                    checkpoints,
                ],
            )
    return checkpoints.best_path


def _load(path: Path) -> keras.Model:
    model: Any = keras.models.load_model(path)
    weights = non_finite_weights(model)
    if weights:
        raise InputError(
            f"{printable(path)}: weights are not finite ({weights}): the training had diverged; "
            "start over in another run folder, with a lower learning rate"
        )
    return model
