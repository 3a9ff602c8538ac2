"""The exponential moving average of a model's weights during training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_unet3p.training import saved_averages


class WeightAverage(keras.callbacks.Callback):
    """Averages the weights over the last steps; validation and what follows sees the averages.

    After step t (from 1) with momentum m: average += (1 - min(m, t / (t + 9))) (weight - average).
    The bound of the momentum keeps the window of the average below a tenth of the steps so far, so
    that short runs forget their initial weights too. The moving statistics of batch normalisation
    are averaged in the same way: they have to fit the averaged weights.

    The model holds the averages from the start of a validation to the start of the next epoch, and
    after the training. (Keras has `use_ema` and `SwapEMAWeights`: without statistics of batch
    normalisation, and the latter in Keras 3 only.)

    Args:
        model: the model that is trained, with its weights.
        momentum: 0 to 1, below 1.
        steps_done: steps that were done before, in a run that is continued.
        strategy: the strategy of the model; None takes TensorFlow's current one.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[1.0]])])
        >>> average = WeightAverage(model, momentum=0.5)
        >>> model.set_weights([np.array([[3.0]])])
        >>> average.update(step=100)
        >>> average.show_averages()
        >>> float(model.get_weights()[0][0, 0])
        2.0
        >>> average.show_weights()
        >>> float(model.get_weights()[0][0, 0])
        3.0
    """

    def __init__(
        self,
        model: keras.Model,
        momentum: float = 0.998,
        *,
        steps_done: int = 0,
        strategy: tf.distribute.Strategy | None = None,
    ):
        super().__init__()
        self.momentum = momentum
        self.shown = False
        self._strategy: Any = strategy or tf.distribute.get_strategy()
        self._step = steps_done
        self._weights: list[Any] = saved_averages.averaged_weights(model)
        with self._strategy.scope():
            values = [tf.convert_to_tensor(weight) for weight in self._weights]
        # Not in the scope of the strategy: one device is enough for the averages. 16 bits are too
        # few: with them an average stays where it is.
        self._averages = [
            tf.Variable(tf.cast(value, tf.float32) if value.dtype.size < 4 else value)
            for value in values
        ]
        self._raw: list[Any] = []
        self._update = tf.function(self._average)

    def update(self, step: int) -> None:
        """Take up the weights after a step, counted from 1."""
        share = 1 - min(self.momentum, step / (step + 9))
        with self._strategy.scope():
            self._update(tf.constant(share, tf.float64))

    def show_averages(self) -> None:
        """Put the averages into the model."""
        if not self.shown:
            with self._strategy.scope():
                self._raw = [tf.identity(tf.convert_to_tensor(item)) for item in self._weights]
                self._assign([tf.convert_to_tensor(average) for average in self._averages])
            self.shown = True

    def show_weights(self) -> None:
        """Put the weights of the training back into the model."""
        if self.shown:
            with self._strategy.scope():
                self._assign(self._raw)
            self._raw = []
            self.shown = False

    def append_to(self, path: Path) -> None:
        """Add the averages to a `.keras` file of the model."""
        saved_averages.append([average.numpy() for average in self._averages], path)

    def take_from(self, path: Path) -> None:
        """Take the averages from a `.keras` file; one without any leaves them as they are."""
        values = saved_averages.read(path)
        for average, value in zip(self._averages, values or (), strict=values is not None):
            average.assign(value)

    def on_epoch_begin(self, epoch, logs=None):
        self.show_weights()

    def on_train_batch_end(self, batch, logs=None):
        self._step += 1
        self.update(self._step)

    def on_test_begin(self, logs=None):
        self.show_averages()

    def on_epoch_end(self, epoch, logs=None):
        self.show_averages()

    def _average(self, share: tf.Tensor) -> None:
        for average, weight in zip(self._averages, self._weights, strict=True):
            value = tf.cast(tf.convert_to_tensor(weight), average.dtype)
            # In this form an average of equal values is exactly that value.
            average.assign_add(tf.cast(share, average.dtype) * (value - average))

    def _assign(self, values: list[Any]) -> None:
        for weight, value in zip(self._weights, values, strict=True):
            weight.assign(tf.cast(value, weight.dtype))
