"""The end of a training that has diverged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p.errors import InputError
from keras_unet3p.files import printable, replacing
from keras_unet3p.layers.weight_values import non_finite_weights
from keras_unet3p.training.checkpoints import Checkpoints

_PARTS = ("image", "mask", "weight_map")


class FiniteCheck(keras.callbacks.Callback):
    """Ends a training with an error where its loss, validation loss or weights are not finite.

    What Keras shows as the loss is the mean over the epoch so far: NaN and infinity stay in it, and
    the step where it first shows them is the step where they came. That step's batch is made again
    from the data's number of the step, and saved. The check goes before all callbacks that write
    something at the end of an epoch, so that no such epoch is kept.

    Args:
        checkpoints: those of the run; the batch goes into their folder.
        training_data: takes a number of steps and gives the batches from there on.
        validation_data: the batches of every validation.
        steps_per_epoch: training steps between two validations.

    Raises:
        ValueError: says what is not finite, since when, what is kept where, and what to try.

    Example:
        >>> import pathlib
        >>> data = tf.data.Dataset.from_tensors((np.zeros((1, 8, 8, 1)), np.zeros((1, 8, 8))))
        >>> checkpoints = ku.training.Checkpoints(pathlib.Path("runs/cells"))
        >>> check = ku.training.FiniteCheck(checkpoints, data.skip, data, steps_per_epoch=1)
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        training_data: Callable[[int], tf.data.Dataset],
        validation_data: tf.data.Dataset,
        *,
        steps_per_epoch: int,
    ):
        super().__init__()
        self.checkpoints = checkpoints
        self.training_data = training_data
        self.validation_data = validation_data
        self.steps_per_epoch = steps_per_epoch
        self._epoch = 0
        self._first_batch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        self._first_batch = batch

    def on_train_batch_end(self, batch, logs=None):
        loss = _loss(logs)
        if not math.isfinite(loss):
            step = self._epoch * self.steps_per_epoch + self._first_batch
            self._stop(
                f"the loss is {loss} at step {step + 1}",
                self.training_data(step).take(batch - self._first_batch + 1),
                f"not-finite-step-{step + 1:06d}.npz",
            )

    def on_test_batch_begin(self, batch, logs=None):
        self._first_batch = batch

    def on_test_batch_end(self, batch, logs=None):
        loss = _loss(logs)
        if not math.isfinite(loss):
            first = self._first_batch
            self._stop(
                f"the validation loss is {loss} at batch {first + 1} of the validation",
                self.validation_data.skip(first).take(batch - first + 1),
                f"not-finite-validation-batch-{first + 1:06d}.npz",
            )

    def on_epoch_end(self, epoch, logs=None):
        model: Any = self.model
        weights = non_finite_weights(model)
        if weights:
            self._stop(f"weights are not finite ({weights})")

    def _stop(self, what: str, batches: tf.data.Dataset | None = None, name: str = "") -> NoReturn:
        folder = self.checkpoints.folder
        text = f"{what}, epoch {self._epoch + 1}; the training has ended"
        if batches is not None:
            parts: Any = _concatenated(batches)
            with replacing(folder / name) as temporary:
                np.savez(temporary, **parts)
            image = next(iter(parts.values()))
            text += (
                f". The batch is in {printable(folder / name)} (its first array holds "
                f"{image.min():.6g} to {image.max():.6g})"
            )
        saved = self.checkpoints.saved()
        text += (
            f". The model of epoch {saved[0][0]}, before that, is kept in {saved[0][1].name}"
            if saved
            else ". No epoch was complete"
        )
        raise InputError(
            f"{text}. Try a lower learning rate in another run folder, float32 where it was mixed "
            "precision, or another loss; and look at the batch for images and masks that are not "
            "as they should be"
        )


def _loss(logs: dict[str, Any] | None) -> float:
    return float((logs or {}).get("loss", 0.0))


def _concatenated(batches: tf.data.Dataset) -> dict[str, np.ndarray]:
    """The parts of one batch, or of the few that Keras runs as one step, one after the other."""
    steps = [[part.numpy() for part in tf.nest.flatten(batch)] for batch in batches]
    joined = [np.concatenate(parts) for parts in zip(*steps, strict=True)]
    return dict(zip(_PARTS, joined, strict=False))
