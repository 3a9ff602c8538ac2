"""The last layer of a head: from logits to probabilities, in float32."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_unet3p.compat import register
from keras_unet3p.errors import InputError

_ACTIVATIONS = {"sigmoid": tf.sigmoid, "softmax": tf.nn.softmax, None: tf.identity}


@register
class SegmentationOutput(keras.layers.Layer):
    """Turns a head's logits into probabilities, in float32 also under mixed precision.

    Args:
        activation: "sigmoid", "softmax" over the last axis, or None, which leaves the logits.
        loss_weight: weight of this head in the loss of `models.SegmentationModel`; 0 or more.

    Input and output: (..., K).

    Example:
        >>> head = ku.layers.SegmentationOutput("softmax")
        >>> head(np.zeros((1, 1, 1, 4))).numpy().ravel().tolist()
        [0.25, 0.25, 0.25, 0.25]
    """

    def __init__(self, activation: str | None, loss_weight: float = 1.0, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if activation not in _ACTIVATIONS:
            raise InputError(
                f"SegmentationOutput: activation must be 'sigmoid', 'softmax' or None, "
                f"found {activation!r}"
            )
        if not loss_weight >= 0:
            raise InputError(
                f"SegmentationOutput: loss_weight must be 0 or more, found {loss_weight}"
            )
        self.activation = activation
        self.loss_weight = float(loss_weight)

    def call(self, inputs):
        return _ACTIVATIONS[self.activation](inputs)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "activation": self.activation,
            "loss_weight": self.loss_weight,
        }
