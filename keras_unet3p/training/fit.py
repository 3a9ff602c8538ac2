"""The training run: build or resume, fit, keep the metrics and the weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_unet3p.training.checkpoints import Checkpoints


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
) -> Path:
    """Train a model in a run folder; the same call continues a run that was stopped or killed.

    Args:
        build: makes the compiled model; called under the strategy's scope, so that the optimizer
            is made there too. Not called when the folder holds a checkpoint.
        training_data: takes the number of steps already done and gives an endless dataset of
            (image, mask[, weight map]) batches that goes on from there.
        validation_data: takes the model and gives a finite dataset of
            (image, mask[, weight map]) batches of a size that the model takes.
        folder: the run's folder: `history.csv`, `last-epoch-NNNN.keras`, `best.keras` and
            TensorBoard logs in `tensorboard/`.
        epochs: of the whole run, those done before included.
        steps_per_epoch: training steps between two validations.
        strategy: `tf.distribute` strategy; None takes TensorFlow's current one.
        monitor: metric whose largest value marks the best epoch.
        patience: epochs without a better one before training stops; None trains all of them.
        callbacks: further Keras callbacks.

    Returns:
        The path of the best model.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    chosen: Any = strategy or tf.distribute.get_strategy()
    checkpoints = Checkpoints(folder, monitor=monitor, patience=patience)
    last = checkpoints.resume()
    done = last[0] if last else 0
    if done >= epochs or (done and checkpoints.finished):
        return checkpoints.best_path

    with chosen.scope():
        model: Any = keras.models.load_model(last[1]) if last else build()
    model.fit(
        training_data(done * steps_per_epoch),
        validation_data=validation_data(model),
        epochs=epochs,
        initial_epoch=done,
        steps_per_epoch=steps_per_epoch,
        verbose=0,
        shuffle=False,
        callbacks=[
            *callbacks,
            keras.callbacks.TensorBoard(str(folder / "tensorboard"), write_graph=False),
            # Last, so that whatever the others add to the logs is in the row.
            checkpoints,
        ],
    )
    return checkpoints.best_path
