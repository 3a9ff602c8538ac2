"""Bilinear upsampling followed by a 3x3 convolution, as one layer."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_unet3p.compat import register
from keras_unet3p.layers.bilinear_upsampling2d import upsample_bilinear


@register
class UpsampleConv2D(keras.layers.Layer):
    """`Conv2D(filters, 3, padding="same")` of the bilinearly upsampled input.

    The weights are those of the convolution: `kernel` (3, 3, C, filters) and `bias` (filters,), so
    that they move freely between this layer and `Conv2D` after `UpSampling2D`.

    Args:
        filters: number of output channels.
        factor: how many times higher and wider the output is; 1 or more.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer, kernel_regularizer: as in `Conv2D`.

    Input: (B, h, w, C). Output: (B, factor * h, factor * w, filters).
    """

    def __init__(
        self,
        filters: int,
        factor: int,
        use_bias: bool = True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if filters < 1 or factor < 1:
            raise ValueError(
                f"UpsampleConv2D: filters and factor must be 1 or more, "
                f"found filters={filters}, factor={factor}"
            )
        self.filters = filters
        self.factor = factor
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(3, 3, input_shape[-1], self.filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        self.bias = (
            self.add_weight(name="bias", shape=(self.filters,), initializer=self.bias_initializer)
            if self.use_bias
            else None
        )
        super().build(input_shape)

    def call(self, inputs):
        kernel = tf.cast(self.kernel, inputs.dtype)
        y = tf.nn.conv2d(upsample_bilinear(inputs, self.factor), kernel, 1, "SAME")
        return y if self.bias is None else tf.nn.bias_add(y, tf.cast(self.bias, y.dtype))

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return (
            batch,
            None if height is None else height * self.factor,
            None if width is None else width * self.factor,
            self.filters,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "factor": self.factor,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
