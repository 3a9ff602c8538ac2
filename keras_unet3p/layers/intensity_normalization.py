"""(x - mean) / std, per channel, inside the network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p.compat import register
from keras_unet3p.errors import InputError


@register
class IntensityNormalization(keras.layers.Layer):
    """Normalises intensities by constants: `(x - mean) / std`, computed in float32.

    Being part of the network, the constants are saved with it, and nobody scales an image twice.

    Args:
        mean: a number, or one for each channel.
        std: a positive number, or one for each channel.
        value_scale: the rule by which stored values became the intensities in training (see
            `images.Normalization`), kept for those who read files; None where it is unknown.
        stored_values: what the stored values of the training images were like, as
            `images.StoredValues.to_dict` gives them; kept likewise.

    Input: (B, H, W, C) of any numeric type. Output: the same shape in the layer's compute type.

    Example:
        >>> normalize = ku.layers.IntensityNormalization(mean=0.5, std=0.25)
        >>> normalize(np.full((1, 1, 1, 1), 0.75)).numpy().ravel().tolist()
        [1.0]
    """

    def __init__(
        self,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        value_scale: str | None = None,
        stored_values: Sequence[dict[str, Any]] = (),
        **kwargs,
    ):
        kwargs.setdefault("autocast", False)  # images may be finer than half precision
        super().__init__(**kwargs)
        self.mean = _numbers(mean)
        self.std = _numbers(std)
        self.value_scale = value_scale
        self._stored_values = json.dumps(list(stored_values))  # a text: Keras wraps lists and dicts
        if not all(value > 0 for value in self.std):
            raise InputError(
                f"IntensityNormalization: std must be positive, found {list(self.std)}"
            )

    @property
    def stored_values(self) -> list[dict[str, Any]]:
        return json.loads(self._stored_values)

    def build(self, input_shape):
        channels = input_shape[-1]
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise InputError(
                    f"IntensityNormalization: {name} has {len(values)} values, the image has "
                    f"{channels} channels; expected one value or one for each channel"
                )
        super().build(input_shape)

    def call(self, inputs):
        x = tf.cast(inputs, tf.float32)
        x = (x - tf.constant(self.mean, tf.float32)) / tf.constant(self.std, tf.float32)
        return tf.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.pop("autocast", None)
        return {
            **config,
            "mean": list(self.mean),
            "std": list(self.std),
            "value_scale": self.value_scale,
            "stored_values": self.stored_values,
        }


def _numbers(values) -> tuple[float, ...]:
    return tuple(np.asarray(values, np.float64).reshape(-1).tolist())
