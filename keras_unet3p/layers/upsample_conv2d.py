"""Bilinear upsampling followed by a 3x3 convolution, as one layer."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_unet3p.compat import register
from keras_unet3p.errors import InputError
from keras_unet3p.layers.upsample_convolution import (
    convolve_then_upsample,
    low_resolution_pays,
    upsample_then_convolve,
)

_METHODS = ("auto", "low_resolution", "plain")


@register
class UpsampleConv2D(keras.layers.Layer):
    """`Conv2D(filters, 3, padding="same")` of the bilinearly upsampled input.

    The weights are those of the convolution: `kernel` (3, 3, C, filters) and `bias` (filters,), so
    that they move freely between this layer and `Conv2D` after `UpSampling2D`.

    Upsampling and convolution are linear and may be exchanged: the same numbers (float rounding
    aside) then cost a fraction, and the upsampled map is never made. See `upsample_convolution`.

    Args:
        filters: number of output channels.
        factor: how many times higher and wider the output is; 1 or more.
        method: "plain" upsamples, then convolves; "low_resolution" convolves first; "auto" takes
            the one that is faster for these channels and this factor.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer, kernel_regularizer: as in `Conv2D`.

    Input: (B, h, w, C). Output: (B, factor * h, factor * w, filters).

    Example:
        >>> layer = ku.layers.UpsampleConv2D(filters=8, factor=4)
        >>> tuple(layer(np.zeros((1, 5, 6, 3))).shape)
        (1, 20, 24, 8)
    """

    def __init__(
        self,
        filters: int,
        factor: int,
        method: str = "auto",
        use_bias: bool = True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if filters < 1 or factor < 1:
            raise InputError(
                f"UpsampleConv2D: filters and factor must be 1 or more, "
                f"found filters={filters}, factor={factor}"
            )
        if method not in _METHODS:
            raise InputError(f"UpsampleConv2D: method must be one of {_METHODS}, found {method!r}")
        self.filters = filters
        self.factor = factor
        self.method = method
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
        low_resolution = self.method == "low_resolution" or (
            self.method == "auto" and low_resolution_pays(inputs.shape[-1], self.factor)
        )
        way = convolve_then_upsample if low_resolution else upsample_then_convolve
        kernel = tf.cast(self.kernel, inputs.dtype)
        bias = None if self.bias is None else tf.cast(self.bias, inputs.dtype)
        return way(inputs, kernel, bias, self.factor)

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
            "method": self.method,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
