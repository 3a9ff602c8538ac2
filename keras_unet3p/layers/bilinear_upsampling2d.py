"""Bilinear upsampling with half-pixel centres."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_unet3p.compat import register


@register
class BilinearUpsampling2D(keras.layers.Layer):
    """Enlarges maps by an integer factor, bilinearly, with half-pixel centres.

    The same as `keras.layers.UpSampling2D(factor, interpolation="bilinear")`, and the result has
    the layer's compute type under every Keras.

    Args:
        factor: how many times higher and wider the output is; 1 or more.

    Input: (B, h, w, C). Output: (B, factor * h, factor * w, C).
    """

    def __init__(self, factor: int, **kwargs):
        super().__init__(**kwargs)
        if factor < 1:
            raise ValueError(f"BilinearUpsampling2D: factor must be 1 or more, found {factor}")
        self.factor = factor

    def call(self, inputs):
        return upsample_bilinear(inputs, self.factor)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (
            batch,
            None if height is None else height * self.factor,
            None if width is None else width * self.factor,
            channels,
        )

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def upsample_bilinear(x, factor: int):
    """`x` (B, h, w, C) enlarged to (B, factor * h, factor * w, C), in the type of `x`."""
    if factor == 1:
        return x
    dynamic = tf.shape(x)
    height, width = (
        factor * (dynamic[axis] if x.shape[axis] is None else x.shape[axis]) for axis in (1, 2)
    )
    y = tf.cast(tf.image.resize(x, (height, width), method="bilinear"), x.dtype)
    y.set_shape(
        (
            x.shape[0],
            *(None if size is None else factor * size for size in x.shape[1:3]),
            x.shape[3],
        )
    )
    return y
