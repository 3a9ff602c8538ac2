"""The groups of layers that every network here is made of, with their names and settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from keras_unet3p.layers import (
    BatchNormalization,
    BilinearUpsampling2D,
    Dropout,
    UpsampleConv2D,
)
from keras_unet3p.models.arguments import InitializerLike, RegularizerLike


def he_normal_untruncated() -> keras.initializers.Initializer:
    """Gaussian weights of standard deviation sqrt(2 / N), N a neuron's inputs (U-Net, section 3).

    Keras's `he_normal` cuts the tails off.
    """
    return keras.initializers.VarianceScaling(
        scale=2.0, mode="fan_in", distribution="untruncated_normal"
    )


@dataclass(frozen=True)
class Blocks:
    """Settings that all layers of one network share; the methods apply named layers to tensors.

    Args:
        prefix: put before every layer's name.
        padding: "same" or "valid", of the 3x3 convolutions.
        batch_norm: whether `conv_relu` normalises between convolution and ReLU.
        kernel_initializer: of the convolutions; None is the untruncated He normal distribution.
        kernel_regularizer: of the convolutions.
        batch_norm_momentum, batch_norm_epsilon, batch_norm_gamma, batch_norm_synchronized: batch
            normalisation's settings.
        upsample_method: how `layers.UpsampleConv2D` computes.
    """

    prefix: str = ""
    padding: str = "same"
    batch_norm: bool = True
    kernel_initializer: InitializerLike | None = None
    kernel_regularizer: RegularizerLike | None = None
    batch_norm_momentum: float = 0.9
    batch_norm_epsilon: float = 1e-5
    batch_norm_gamma: InitializerLike = "ones"
    batch_norm_synchronized: bool = False
    upsample_method: str = "auto"

    def conv(
        self,
        x,
        filters: int,
        kernel_size: int,
        name: str,
        *,
        padding: str | None = None,
        strides: int = 1,
        use_bias: bool = True,
    ):
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            strides=strides,
            padding=padding or self.padding,
            use_bias=use_bias,
            name=f"{self.prefix}{name}",
            **self._kernel(),
        )(x)

    def conv_relu(self, x, filters: int, name: str, kernel_size: int = 3):
        """Convolution, batch normalisation if it is on, ReLU."""
        return self.norm_relu(self.conv(x, filters, kernel_size, f"{name}_conv"), name)

    def upsample_conv_relu(self, x, filters: int, factor: int, name: str):
        """Bilinear upsampling, 3x3 convolution, batch normalisation if it is on, ReLU."""
        return self.norm_relu(self.upsample_conv(x, filters, factor, f"{name}_conv"), name)

    def upsample_conv(self, x, filters: int, factor: int, name: str):
        return UpsampleConv2D(
            filters,
            factor,
            method=self.upsample_method,
            name=f"{self.prefix}{name}",
            **self._kernel(),
        )(x)

    def up_conv(self, x, filters: int, kernel_size: int, name: str):
        """Transposed convolution of stride 2."""
        return keras.layers.Conv2DTranspose(
            filters,
            kernel_size,
            strides=2,
            padding="same",
            name=f"{self.prefix}{name}",
            **self._kernel(),
        )(x)

    def norm_relu(self, x, name: str):
        if self.batch_norm:
            x = BatchNormalization(
                momentum=self.batch_norm_momentum,
                epsilon=self.batch_norm_epsilon,
                gamma_initializer=_fresh(self.batch_norm_gamma, keras.initializers),
                synchronized=self.batch_norm_synchronized,
                name=f"{self.prefix}{name}_bn",
            )(x)
        return keras.layers.ReLU(name=f"{self.prefix}{name}_relu")(x)

    def max_pool(self, x, size: int, name: str):
        if size == 1:
            return x
        return keras.layers.MaxPooling2D(size, name=f"{self.prefix}{name}")(x)

    def upsample(self, x, factor: int, name: str):
        if factor == 1:
            return x
        return BilinearUpsampling2D(factor, name=f"{self.prefix}{name}")(x)

    def concatenate(self, tensors, name: str):
        if len(tensors) == 1:
            return tensors[0]
        return keras.layers.Concatenate(name=f"{self.prefix}{name}")(tensors)

    def dropout(self, x, rate: float, name: str):
        if not rate:
            return x
        return Dropout(rate, name=f"{self.prefix}{name}")(x)

    def _kernel(self) -> dict[str, Any]:
        # An initializer with a seed gives the same numbers each time: every layer gets its own.
        initializer = self.kernel_initializer
        return {
            "kernel_initializer": he_normal_untruncated()
            if initializer is None
            else _fresh(initializer, keras.initializers),
            "kernel_regularizer": self.kernel_regularizer,
        }


def _fresh(identifier, module) -> Any:
    """A new object for every layer, so that layers share no random state."""
    if isinstance(identifier, (str, dict)):
        return module.get(identifier)
    config = identifier.get_config()
    if config.get("seed", 0) is None:
        return type(identifier).from_config(config)
    return identifier
