"""Attention U-Net (Oktay et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, Literal

import keras

from keras_unet3p.layers import InputSize
from keras_unet3p.models.arguments import (
    InitializerLike,
    NormalizationLike,
    RegularizerLike,
    check_choice,
    level_filters,
    resolve_activation,
)
from keras_unet3p.models.blocks import Blocks
from keras_unet3p.models.build import network_input, network_model
from keras_unet3p.models.encoders import encoder_tensors
from keras_unet3p.models.heads import segmentation_heads
from keras_unet3p.models.segmentation_model import SegmentationModel


def attention_unet(
    input_shape: Sequence[int | None] = (None, None, 1),
    num_classes: int = 1,
    classifier_activation: Literal["auto", "sigmoid", "softmax"] | None = "auto",
    *,
    input_tensor: Any = None,
    filters: int | Sequence[int] = 64,
    depth: int | None = None,
    gate_finest: bool = False,
    upsampling: Literal["transposed", "bilinear"] = "transposed",
    batch_norm: bool | Literal["encoder"] = True,
    encoder: str = "plain",
    encoder_weights: str | PathLike | None = None,
    encoder_trainable: bool = True,
    normalization: NormalizationLike | None = None,
    kernel_initializer: InitializerLike | None = None,
    kernel_regularizer: RegularizerLike | None = None,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    batch_norm_synchronized: bool = False,
    upsample_method: Literal["auto", "low_resolution", "plain"] = "auto",
    prefix: str = "",
    name: str = "attention_unet",
) -> SegmentationModel:
    """Attention U-Net as a Keras model.

    Every skip of a U-Net passes an additive attention gate (section 2.2, equations 1 and 2): with
    the skip x and the gating signal g of the next coarser level,
    alpha = sigmoid(psi(relu(theta(x) + phi(g)))), theta a 2x2 convolution of stride 2 onto the
    grid of g, phi and psi 1x1; alpha is upsampled bilinearly and multiplies x.

    Args:
        input_shape: (H, W, C); H and W may be None, and are multiples of 2 ** depth.
        num_classes: channels of the mask. One is foreground against background.
        classifier_activation: "auto" ("sigmoid" for one class, "softmax" for more), "sigmoid",
            "softmax", or None for logits.
        input_tensor: Keras tensor (B, H, W, C) of a network of yours to build on, instead of an
            input of its own; `input_shape` is not looked at then. The model begins where the tensor
            begins, at your `keras.Input`, and shares your layers.
        filters: channels of the finest level, doubled at each of `depth` poolings; or the channels
            of all levels, whose number less one then is the depth.
        depth: number of poolings; 4 where `filters` is a number and this is not given.
        gate_finest: whether the finest skip is gated too; in the paper it is not.
        upsampling: "transposed" (2x2 convolution) or "bilinear" (then a 3x3 convolution).
        batch_norm: whether convolutions are normalised: True, as in this paper, False, or "encoder"
            (in the contracting path only).
        encoder: the contracting path, one of `ENCODERS`: the paper's own, "plain", or a network of
            `keras.applications`; then `filters` are the expansive path's channels.
        encoder_weights: "imagenet", or the path of a file of weights; not for "plain".
        encoder_trainable: whether training changes the encoder; not for "plain".
        normalization: (mean, std), numbers or one for each channel, or an object with both:
            `layers.IntensityNormalization` first. With `percentiles` (`images.Normalization`)
            each image is stretched by its own.
        kernel_initializer: None is the untruncated He normal distribution.
        kernel_regularizer: of all convolutions.
        batch_norm_momentum, batch_norm_epsilon: of batch normalisation.
        batch_norm_synchronized: whether its statistics in training are those of all devices of a
            `tf.distribute` strategy together, the encoder's too, or each device's own.
        upsample_method: "auto", "low_resolution" or "plain": how upsampling and convolution are
            computed (`layers.UpsampleConv2D`). The result is the same.
        prefix: put before every layer's name; networks in one model need one each.
        name: the model's name.

    Returns:
        A model (B, H, W, C) -> (B, H, W, K) in float32.

        `model.features` are its named tensors: "e1", ... of the contracting path; "d1", ... of the
        expansive path; "attention2", ... the attention coefficients (B, h, w, 1) of the gated
        levels; "logits"; "mask".

    Raises:
        ValueError: an argument, or a height or width that the network cannot take.

    Example:
        >>> model = attention_unet((64, 64, 1), filters=4, depth=2)
        >>> tuple(model.features["attention2"].shape[1:])
        (32, 32, 1)
    """
    arguments = dict(locals())
    image = network_input(input_shape, input_tensor, prefix)
    levels = level_filters(filters, depth)
    activation = resolve_activation(classifier_activation, num_classes)
    check_choice("upsampling", upsampling, ("transposed", "bilinear"))
    check_choice("batch_norm", batch_norm, (True, False, "encoder"))
    down = Blocks(
        prefix=prefix,
        batch_norm=bool(batch_norm),
        kernel_initializer=kernel_initializer,
        kernel_regularizer=kernel_regularizer,
        batch_norm_momentum=batch_norm_momentum,
        batch_norm_epsilon=batch_norm_epsilon,
        batch_norm_synchronized=batch_norm_synchronized,
        upsample_method=upsample_method,
    )
    blocks = replace(down, batch_norm=batch_norm is True)

    x = InputSize(2 ** (len(levels) - 1), name=f"{prefix}input_size")(image)
    tensors = encoder_tensors(
        x,
        encoder,
        levels=levels,
        encoder_weights=encoder_weights,
        encoder_trainable=encoder_trainable,
        normalization=normalization,
        blocks=down,
    )
    x = tensors[f"e{len(levels)}"]
    for level in range(len(levels) - 1, 0, -1):
        channels = levels[level - 1]
        skip = tensors[f"e{level}"]
        if level > 1 or gate_finest:
            skip, alpha = _attention_gate(blocks, skip, x, channels, f"d{level}_gate")
            tensors[f"attention{level}"] = alpha
        if upsampling == "transposed":
            x = blocks.up_conv(x, channels, 2, f"d{level}_up")
        else:
            x = blocks.upsample_conv(x, channels, 2, f"d{level}_up")
        x = blocks.concatenate([skip, x], f"d{level}_concat")
        x = blocks.conv_relu(x, channels, f"d{level}_1")
        x = blocks.conv_relu(x, channels, f"d{level}_2")
        tensors[f"d{level}"] = x
    tensors["logits"] = blocks.conv(x, num_classes, 1, "mask_conv")
    tensors.update(
        segmentation_heads({"mask": tensors["logits"]}, activation=activation, prefix=prefix)
    )
    return network_model("attention_unet", arguments, image, tensors)


def _attention_gate(blocks: Blocks, skip, gating, channels: int, name: str):
    """The gated skip and the attention coefficients."""
    prefix = blocks.prefix
    theta = blocks.conv(skip, channels, 2, f"{name}_theta", strides=2, use_bias=False)
    phi = blocks.conv(gating, channels, 1, f"{name}_phi")
    x = keras.layers.Add(name=f"{prefix}{name}_add")([theta, phi])
    x = keras.layers.ReLU(name=f"{prefix}{name}_relu")(x)
    x = blocks.conv(x, 1, 1, f"{name}_psi")
    x = keras.layers.Activation("sigmoid", name=f"{prefix}{name}_sigmoid")(x)
    alpha = blocks.upsample(x, 2, f"{name}_up")
    return keras.layers.Multiply(name=f"{prefix}{name}_multiply")([skip, alpha]), alpha
