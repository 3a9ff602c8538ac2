"""UNet++ (Zhou et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal

from keras_unet3p.errors import InputError
from keras_unet3p.layers import InputSize, SegmentationAverage
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


def unetplusplus(
    input_shape: Sequence[int | None] = (None, None, 1),
    num_classes: int = 1,
    classifier_activation: Literal["auto", "sigmoid", "softmax"] | None = "auto",
    *,
    input_tensor: Any = None,
    filters: int | Sequence[int] = 64,
    depth: int | None = None,
    deep_supervision: bool = False,
    mode: Literal["fast", "accurate"] = "fast",
    head_weights: Mapping[str, float] | float | None = None,
    upsampling: Literal["transposed", "bilinear"] = "transposed",
    up_kernel_size: int = 2,
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
    name: str = "unetplusplus",
) -> SegmentationModel:
    """UNet++ as a Keras model.

    Node X^{i,j} (section 3.1) convolves, twice, the concatenation of X^{i,0}, ... X^{i,j-1} and the
    upsampled X^{i+1,j-1}; X^{i,0} is the contracting path. Layers are named `x{i}_{j}_...`.

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
        deep_supervision: adds a head on each of X^{0,1}, X^{0,2}, ... (section 3.2).
        mode: with deep supervision, what the final mask is: "fast", the last node's head, or
            "accurate", the mean of all heads' probabilities. Both have the same weights, in the
            same order.
        head_weights: weights of the side heads in the loss, by name or one for all; 1 if not given.
        upsampling: "transposed" (convolution) or "bilinear" (then a 3x3 convolution).
        up_kernel_size: of the transposed convolutions; 2 or 4.
        batch_norm: whether convolutions are normalised: True, as in this paper, False, or "encoder"
            (in the contracting path only).
        encoder: the contracting path, one of `ENCODERS`: the paper's own, "plain", or a network of
            `keras.applications`; then `filters` are the other nodes' channels.
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
        A model (B, H, W, C) -> (B, H, W, K) in float32. With `deep_supervision` it can be cut down
        after training by `prune_unetplusplus`.

        `model.features` are its named tensors: "x0_1", ... of every node; "e1", ... of the
        contracting path; "mask"; with deep supervision "mask_1", "mask_2", ..., the heads that are
        not the final mask.

    Raises:
        ValueError: an argument, or a height or width that the network cannot take.

    Example:
        >>> model = unetplusplus(filters=4, depth=3, deep_supervision=True)
        >>> list(model.output)
        ['mask', 'mask_1', 'mask_2']
    """
    arguments = dict(locals())
    image = network_input(input_shape, input_tensor, prefix)
    levels = level_filters(filters, depth)
    activation = resolve_activation(classifier_activation, num_classes)
    check_choice("mode", mode, ("fast", "accurate"))
    check_choice("upsampling", upsampling, ("transposed", "bilinear"))
    check_choice("batch_norm", batch_norm, (True, False, "encoder"))
    check_choice("up_kernel_size", up_kernel_size, (2, 4))
    if mode == "accurate" and not deep_supervision:
        raise InputError("mode: 'accurate' averages the heads of deep supervision; switch it on")
    settings: dict[str, Any] = {
        "prefix": prefix,
        "kernel_initializer": kernel_initializer,
        "kernel_regularizer": kernel_regularizer,
        "batch_norm_momentum": batch_norm_momentum,
        "batch_norm_epsilon": batch_norm_epsilon,
        "batch_norm_synchronized": batch_norm_synchronized,
        "upsample_method": upsample_method,
    }
    down = Blocks(batch_norm=bool(batch_norm), **settings)
    up = Blocks(batch_norm=batch_norm is True, **settings)

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
    last = len(levels) - 1
    nodes = {(i, 0): tensors[f"e{i + 1}"] for i in range(last + 1)}
    for j in range(1, last + 1):
        for i in range(last - j + 1):
            name, channels = f"x{i}_{j}", levels[i]
            below = nodes[i + 1, j - 1]
            if upsampling == "transposed":
                raised = up.up_conv(below, channels, up_kernel_size, f"{name}_up")
            else:
                raised = up.upsample_conv(below, channels, 2, f"{name}_up")
            row = [nodes[i, k] for k in range(j)]
            x = up.concatenate([*row, raised], f"{name}_concat")
            x = up.conv_relu(x, channels, f"{name}_1")
            x = up.conv_relu(x, channels, f"{name}_2")
            nodes[i, j] = tensors[name] = x

    ends = range(1, last + 1) if deep_supervision else [last]
    heads = [up.conv(nodes[0, j], num_classes, 1, f"mask_{j}_conv") for j in ends]
    if mode == "fast":
        logits = {"mask": heads[-1], **{f"mask_{j}": head for j, head in enumerate(heads[:-1], 1)}}
        tensors.update(
            segmentation_heads(
                logits, activation=activation, head_weights=head_weights, prefix=prefix
            )
        )
    else:
        logits = {f"mask_{j}": head for j, head in enumerate(heads, 1)}
        # Keras orders a model's layers, and so its weights, as it meets them on the way back from
        # the mask. The last head is first, as in the fast mode: weights move between the two.
        average = SegmentationAverage(activation, name=f"{prefix}mask")
        tensors["mask"] = average([heads[-1], *heads[:-1]])
        tensors.update(
            segmentation_heads(
                logits, activation=activation, head_weights=head_weights, prefix=prefix
            )
        )
    return network_model("unetplusplus", arguments, image, tensors)
