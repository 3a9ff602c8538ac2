"""Makes an image of any size fit a network with poolings."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_unet3p.compat import register
from keras_unet3p.errors import InputError


@register
class PadToMultiple(keras.layers.Layer):
    """Appends zeros at the bottom and the right up to the next multiple of `multiple` pixels.

    Input: (B, H, W, C). Output: (B, H', W', C), H' and W' multiples, in the type that comes in:
    what follows may be a normalisation, which needs the image finer than half precision.

    Example:
        >>> tuple(ku.layers.PadToMultiple(32)(np.zeros((1, 40, 64, 1))).shape)
        (1, 64, 64, 1)
    """

    def __init__(self, multiple: int, **kwargs):
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        if multiple < 1:
            raise InputError(f"PadToMultiple: multiple must be 1 or more, found {multiple}")
        self.multiple = multiple

    def call(self, inputs):
        dynamic: Any = tf.shape(inputs)
        bottom, right = (
            -(dynamic[axis] if inputs.shape[axis] is None else inputs.shape[axis]) % self.multiple
            for axis in (1, 2)
        )
        return tf.pad(inputs, [[0, 0], [0, bottom], [0, right], [0, 0]])

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        up = self.multiple
        return (
            batch,
            None if height is None else -(-height // up) * up,
            None if width is None else -(-width // up) * up,
            channels,
        )

    def compute_output_spec(self, inputs):
        # Keras 3 would announce the layer's own type.
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "multiple": self.multiple}
