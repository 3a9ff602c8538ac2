"""A check that ends a training that has diverged."""

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
    """Ends training with an error if a loss, a validation loss or a weight is not finite.

    The loss that Keras logs is the mean over the epoch so far, and NaN and infinity stay in it. So
    the first step that shows them is the step in which they occurred. The batch of this step is
    made again from its number, and saved. The check must come before all callbacks that write
    files at the end of an epoch, so that no diverged epoch is kept.

    Args:
        checkpoints: the checkpoints of the run. The batch is saved in their folder.
        training_data: function from a number of steps to the dataset that begins after them.
        validation_data: the batches of every validation.
        steps_per_epoch: training steps between two validations.

    Raises:
        ValueError: tells what is not finite and since when, which files are kept, and what to try.

    Example:
        >>> import tempfile
        >>> import tensorflow as tf
        >>> from keras_unet3p.training import Checkpoints
        >>> batches = tf.data.Dataset.from_tensors((tf.ones((1, 8, 8, 1)), tf.ones((1, 8, 8))))
        >>> folder = tempfile.TemporaryDirectory()
        >>> check = FiniteCheck(
        ...     Checkpoints(folder.name), batches.skip, batches, steps_per_epoch=1
        ... )
        >>> check.on_epoch_begin(0)
        >>> check.on_train_batch_begin(0)
        >>> check.on_train_batch_end(0, {"loss": float("nan")})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        keras_unet3p.errors.InputError: the loss is nan at step 1, epoch 1; ...
        >>> folder.cleanup()
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
        folder = self.checkpoints.run.path
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
        saved = self.checkpoints.run.saved()
        text += (
            f". The model of epoch {saved[0][0]}, before that, is kept in {saved[0][1].name}"
            if saved
            else ". No epoch was complete"
        )
        raise InputError(
            f"{text}. Try a lower learning rate in another run folder, float32 instead of mixed "
            "precision, or another loss; and look for wrong images and masks in the batch"
        )


def _loss(logs: dict[str, Any] | None) -> float:
    return float((logs or {}).get("loss", 0.0))


def _concatenated(batches: tf.data.Dataset) -> dict[str, np.ndarray]:
    """The parts of one batch, or of several that Keras runs as one step, concatenated."""
    steps = [[part.numpy() for part in tf.nest.flatten(batch)] for batch in batches]
    joined = [np.concatenate(parts) for parts in zip(*steps, strict=True)]
    return dict(zip(_PARTS, joined, strict=False))
