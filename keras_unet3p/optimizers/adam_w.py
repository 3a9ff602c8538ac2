"""AdamW whose weight decay leaves biases and normalisation alone, in one operation a variable."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_unet3p.compat import optimizer_slots, register

# Keras 2 puts the layer's name before the variable's, and ":0" behind it.
_NOT_DECAYED = r"(^|/)(bias|gamma|beta)(:\d+)?$"


@register
class AdamW(keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` that decays kernels only.

    Biases and the scales and offsets of normalisation layers keep their values. Keras's class can
    be told so too (`exclude_from_weight_decay`), but forgets it when a model is saved and loaded.

    The step of a variable is TensorFlow's one operation for it, in place of the thirty that Keras
    makes; values and saved state are Keras's. A graph of fewer operations is traced and optimised
    in less time, and a small network's step takes less, too.

    Args:
        learning_rate: number or schedule. The decay of a step is `weight_decay` times it.
        weight_decay: share of a kernel that is taken away per step and unit of learning rate; 0
            takes nothing away, which is Adam.
        **options: those of `keras.optimizers.AdamW`, such as `beta_1` and `clipnorm`.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(AdamW(1e-3, weight_decay=1e-4), "mse")
        >>> round(float(model.optimizer.weight_decay), 6)
        0.0001
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        weight_decay: float = 1e-4,
        *,
        name: str = "AdamW",
        **options: Any,
    ):
        super().__init__(learning_rate, weight_decay=weight_decay, name=name, **options)
        self.exclude_from_weight_decay(var_names=[_NOT_DECAYED])

    def update_step(self, gradient, variable, learning_rate=None):
        """As Keras's, which Keras 2 calls without a learning rate."""
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            rate = () if learning_rate is None else (learning_rate,)
            return super().update_step(gradient, variable, *rate)
        dtype = variable.dtype
        momentum, velocity = optimizer_slots(self, variable)
        iterations: Any = self.iterations
        step = tf.cast(iterations + 1, dtype)
        return tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=momentum.handle,
            v=velocity.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, dtype), step),
            lr=tf.cast(self.learning_rate if learning_rate is None else learning_rate, dtype),
            beta1=tf.cast(self.beta_1, dtype),
            beta2=tf.cast(self.beta_2, dtype),
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )
