"""U-Net (Ronneberger, Fischer, Brox 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, Literal

import keras

from keras_unet3p.errors import InputError
from keras_unet3p.layers import CenterCrop, InputSize
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


def unet(
    input_shape: Sequence[int | None] = (None, None, 1),
    num_classes: int = 1,
    classifier_activation: Literal["auto", "sigmoid", "softmax"] | None = "auto",
    *,
    input_tensor: Any = None,
    filters: int | Sequence[int] = 64,
    depth: int | None = None,
    padding: Literal["same", "valid"] = "same",
    upsampling: Literal["transposed", "bilinear"] = "transposed",
    up_kernel_size: int = 2,
    batch_norm: bool | Literal["encoder"] = False,
    dropout: float = 0.5,
    head_kernel_size: int = 1,
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
    name: str = "unet",
) -> SegmentationModel:
    """U-Net as a Keras model.

    `unet((572, 572, 1), 2, padding="valid")` is the paper's network: 31,030,658 parameters,
    388 x 388 pixels out, 92 pixels of context on each side.

    Args:
        input_shape: (H, W, C); H and W may be None; see `padding`.
        num_classes: channels of the mask. One is foreground against background.
        classifier_activation: "auto" ("sigmoid" for one class, "softmax" for more), "sigmoid",
            "softmax", or None for logits.
        input_tensor: Keras tensor (B, H, W, C) of a network of yours to build on, instead of an
            input of its own; `input_shape` is not looked at then. The model begins where the tensor
            begins, at your `keras.Input`, and shares your layers.
        filters: channels of the finest level, doubled at each of `depth` poolings; or the channels
            of all levels, whose number less one then is the depth.
        depth: number of poolings; 4 where `filters` is a number and this is not given.
        padding: "valid" (the paper's: sizes 16 k + 12 for depth 4, from 188 on) or "same" (sizes
            16 k, the mask as large as the image).
        upsampling: "transposed" (convolution) or "bilinear" (then a 3x3 convolution).
        up_kernel_size: of the transposed convolutions; 2 or 4.
        batch_norm: whether convolutions are normalised: False, as in this paper, which is older
            than the method; True, or "encoder" (in the contracting path only).
        dropout: rate of the two dropouts at the end of the contracting path; 0 for none.
        head_kernel_size: of the last convolution.
        encoder: the contracting path, one of `ENCODERS`: the paper's own, "plain", or a network of
            `keras.applications`; then `filters` are the expansive path's channels.
        encoder_weights: "imagenet", or the path of a file of weights; not for "plain".
        encoder_trainable: whether training changes the encoder; not for "plain".
        normalization: (mean, std), numbers or one for each channel, or an object with both:
            `layers.IntensityNormalization` first. With `percentiles` (`images.Normalization`)
            each image is stretched by its own.
        kernel_initializer: None is the paper's Gaussian of deviation sqrt(2 / N), untruncated.
        kernel_regularizer: of all convolutions.
        batch_norm_momentum, batch_norm_epsilon: of batch normalisation.
        batch_norm_synchronized: whether its statistics in training are those of all devices of a
            `tf.distribute` strategy together, the encoder's too, or each device's own.
        upsample_method: "auto", "low_resolution" or "plain": how upsampling and convolution are
            computed (`layers.UpsampleConv2D`). The result is the same.
        prefix: put before every layer's name; networks in one model need one each.
        name: the model's name.

    Returns:
        A model (B, H, W, C) -> (B, h, w, K), h = H - 2 * margin, in float32.

        `model.features` are its named tensors: "e1", ... "eL" of the contracting path, finest
        first, "eL" the bottom; "d1", ... of the expansive path; "logits"; "mask".

    Raises:
        ValueError: an argument, or a height or width that the network cannot take.

    Example:
        >>> unet((572, 572, 1), 2, filters=2, padding="valid").output_shape
        (None, 388, 388, 2)
    """
    arguments = dict(locals())
    image = network_input(input_shape, input_tensor, prefix)
    levels = level_filters(filters, depth)
    activation = resolve_activation(classifier_activation, num_classes)
    check_choice("padding", padding, ("same", "valid"))
    check_choice("upsampling", upsampling, ("transposed", "bilinear"))
    check_choice("batch_norm", batch_norm, (True, False, "encoder"))
    check_choice("up_kernel_size", up_kernel_size, (2, 4))
    if padding == "valid" and encoder != "plain":
        raise InputError(f"padding: encoder {encoder!r} is padded; take padding='same'")
    if padding == "valid" and up_kernel_size != 2:
        raise InputError("up_kernel_size: an unpadded network takes 2 only, found 4")
    if padding == "valid" and head_kernel_size != 1:
        raise InputError(
            f"head_kernel_size: an unpadded network takes 1 only, found {head_kernel_size}"
        )

    settings = {
        "prefix": prefix,
        "padding": padding,
        "kernel_initializer": kernel_initializer,
        "kernel_regularizer": kernel_regularizer,
        "batch_norm_momentum": batch_norm_momentum,
        "batch_norm_epsilon": batch_norm_epsilon,
        "batch_norm_synchronized": batch_norm_synchronized,
        "upsample_method": upsample_method,
    }
    down = Blocks(batch_norm=bool(batch_norm), **settings)
    up = Blocks(batch_norm=batch_norm is True, **settings)

    x = _input_size(len(levels) - 1, padding, upsampling, f"{prefix}input_size")(image)
    tensors = encoder_tensors(
        x,
        encoder,
        levels=levels,
        encoder_weights=encoder_weights,
        encoder_trainable=encoder_trainable,
        normalization=normalization,
        dropout=dropout,
        blocks=down,
    )
    x = tensors[f"e{len(levels)}"]
    for level in range(len(levels) - 1, 0, -1):
        channels = levels[level - 1]
        if upsampling == "transposed":
            x = up.up_conv(x, channels, up_kernel_size, f"d{level}_up")
        else:
            x = up.upsample_conv(x, channels, 2, f"d{level}_up")
            if padding == "valid":
                # The outer pixels are made of the map's edge and of zeros, not of image.
                x = keras.layers.Cropping2D(2, name=f"{prefix}d{level}_up_crop")(x)
        skip = tensors[f"e{level}"]
        if padding == "valid":
            skip = CenterCrop(name=f"{prefix}d{level}_crop")([skip, x])
        x = up.concatenate([skip, x], f"d{level}_concat")
        x = up.conv_relu(x, channels, f"d{level}_1")
        x = up.conv_relu(x, channels, f"d{level}_2")
        tensors[f"d{level}"] = x
    logits = up.conv(x, num_classes, head_kernel_size, "mask_conv")
    tensors["logits"] = logits
    tensors.update(segmentation_heads({"mask": logits}, activation=activation, prefix=prefix))
    return network_model("unet", arguments, image, tensors)


def _input_size(depth: int, padding: str, upsampling: str, name: str) -> InputSize:
    """Which sizes a U-Net with two 3x3 convolutions a level can take."""
    step = 2**depth
    if padding == "same":
        return InputSize(step, name=name)
    # Going down s -> (s - 4) / 2, going up s -> 2 s - lost - 4.
    lost = 4 if upsampling == "bilinear" else 0
    shrink_down = 4 * (step - 1)
    shrink_up = 4 * step + (4 + lost) * (step - 1)
    bottom = shrink_up // step + 1  # the smallest bottom that leaves at least one pixel
    return InputSize(
        step,
        offset=shrink_down % step,
        minimum=step * bottom + shrink_down,
        margin=(shrink_down + shrink_up) // 2,
        name=name,
    )
