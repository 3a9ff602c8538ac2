"""AdamW whose weight decay leaves biases and normalisation alone."""

from __future__ import annotations

from typing import Any

import keras

from keras_unet3p.compat import register

# Keras 2 puts the layer's name before the variable's, and ":0" behind it.
_NOT_DECAYED = r"(^|/)(bias|gamma|beta)(:\d+)?$"


@register
class AdamW(keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` that decays kernels only.

    Biases and the scales and offsets of normalisation layers keep their values. Keras's class can
    be told so too (`exclude_from_weight_decay`), but forgets it when a model is saved and loaded.

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
