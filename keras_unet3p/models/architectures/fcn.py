"""Fully convolutional networks FCN-32s, FCN-16s, FCN-8s (Long, Shelhamer, Darrell 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p.compat import register
from keras_unet3p.errors import InputError
from keras_unet3p.layers import CropTo, PadToMultiple
from keras_unet3p.models.arguments import (
    InitializerLike,
    NormalizationLike,
    RegularizerLike,
    check_choice,
    level_filters,
    resolve_activation,
    resolve_normalization,
)
from keras_unet3p.models.blocks import Blocks
from keras_unet3p.models.build import network_input, network_model
from keras_unet3p.models.encoders import encoder_tensors
from keras_unet3p.models.heads import segmentation_heads
from keras_unet3p.models.segmentation_model import SegmentationModel


def fcn(
    input_shape: Sequence[int | None] = (None, None, 3),
    num_classes: int = 1,
    classifier_activation: Literal["auto", "sigmoid", "softmax"] | None = "auto",
    *,
    input_tensor: Any = None,
    stride: Literal[8, 16, 32] = 8,
    dense_filters: int = 4096,
    dropout: float = 0.5,
    filters: int | Sequence[int] = 64,
    encoder: str = "vgg16",
    encoder_weights: str | PathLike | None = None,
    encoder_trainable: bool = True,
    normalization: NormalizationLike | None = None,
    kernel_initializer: InitializerLike | None = None,
    kernel_regularizer: RegularizerLike | None = None,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    batch_norm_synchronized: bool = False,
    prefix: str = "",
    name: str = "fcn",
) -> SegmentationModel:
    """FCN-32s, FCN-16s or FCN-8s as a Keras model.

    The classifier's dense layers are a 7x7 and a 1x1 convolution on the map of stride 32 (section
    4.1). Class scores at strides 32, 16 and 8, those of stride 16 and 8 starting at zero, are
    summed, each raised to the next by a transposed convolution that starts as bilinear
    interpolation (section 4.2).

    Args:
        input_shape: (H, W, C); H and W may be None, and may be any size: the image is padded with
            zeros on the bottom and the right to a multiple of 32, and the mask is cropped. Three
            channels, where the other networks have one, as VGG16 is for photographs in colour.
        num_classes: channels of the mask. One is foreground against background.
        classifier_activation: "auto" ("sigmoid" for one class, "softmax" for more), "sigmoid",
            "softmax", or None for logits.
        input_tensor: Keras tensor (B, H, W, C) of a network of yours to build on, instead of an
            input of its own; `input_shape` is not looked at then. The model begins where the tensor
            begins, at your `keras.Input`, and shares your layers.
        stride: of the finest scores: 32, 16 or 8.
        dense_filters: channels of the two convolutions that stand for the dense layers.
        dropout: rate after each of the two.
        filters: channels of the finest of the plain encoder's five levels, doubled at each pooling;
            or of all five. The depth is always 4, of another encoder too.
        encoder: the classification network, one of `ENCODERS`; VGG16, where the other networks have
            "plain", is the paper's.
        encoder_weights: "imagenet", or the path of a file of weights; not for "plain".
        encoder_trainable: whether training changes the encoder; not for "plain".
        normalization: (mean, std), numbers or one for each channel, or an object with both:
            `layers.IntensityNormalization` first.
        kernel_initializer: None is the untruncated He normal distribution.
        kernel_regularizer: of all convolutions.
        batch_norm_momentum, batch_norm_epsilon: of the plain encoder's batch normalisation.
        batch_norm_synchronized: whether the encoder's statistics in training are those of all
            devices of a `tf.distribute` strategy together, or each device's own.
        prefix: put before every layer's name; networks in one model need one each.
        name: the model's name.

    Returns:
        A model (B, H, W, C) -> (B, H, W, K) in float32.

        `model.features` are its named tensors: "e1", ... "e5" of the encoder, as far as scores are
        made of them; "scores32" (, "scores16", "scores8"), the summed class scores; "logits";
        "mask".

    Raises:
        ValueError: an argument.

    Example:
        >>> model = fcn((None, None, 1), 2, encoder="plain", filters=4, dense_filters=8)
        >>> model(tf.zeros((1, 50, 70, 1))).shape
        TensorShape([1, 50, 70, 2])
    """
    arguments = dict(locals())
    image = network_input(input_shape, input_tensor, prefix)
    activation = resolve_activation(classifier_activation, num_classes)
    check_choice("stride", stride, (8, 16, 32))
    blocks = Blocks(
        prefix=prefix,
        kernel_initializer=kernel_initializer,
        kernel_regularizer=kernel_regularizer,
        batch_norm_momentum=batch_norm_momentum,
        batch_norm_epsilon=batch_norm_epsilon,
        batch_norm_synchronized=batch_norm_synchronized,
    )
    dense = Blocks(
        prefix=prefix,
        batch_norm=False,
        kernel_initializer=kernel_initializer,
        kernel_regularizer=kernel_regularizer,
    )

    if (resolve_normalization(normalization) or {}).get("percentiles") is not None:
        raise InputError(
            "normalization: percentiles would be taken of an image that FCN has filled up with "
            "zeros; expected mean and std only"
        )
    x = PadToMultiple(32, name=f"{prefix}pad")(image)
    tensors = encoder_tensors(
        x,
        encoder,
        levels=level_filters(filters, None),
        encoder_weights=encoder_weights,
        encoder_trainable=encoder_trainable,
        normalization=normalization,
        blocks=blocks,
    )
    x = dense.max_pool(tensors["e5"], 2, "e5_pool2")
    for number, kernel_size in ((6, 7), (7, 1)):
        x = dense.conv_relu(x, dense_filters, f"fc{number}", kernel_size)
        x = dense.dropout(x, dropout, f"fc{number}_dropout")
    x = tensors["scores32"] = dense.conv(x, num_classes, 1, "scores32_conv")
    reached = 32
    for level, finer in ((4, 16), (3, 8)):
        if finer < stride:
            break
        raised = _raise(x, 2, f"{prefix}scores{reached}_up")
        name = f"e{level}_pool2"
        pooled = tensors[name] if name in tensors else dense.max_pool(tensors[f"e{level}"], 2, name)
        scores = keras.layers.Conv2D(
            num_classes, 1, kernel_initializer="zeros", name=f"{prefix}scores{finer}_conv"
        )(pooled)
        x = keras.layers.Add(name=f"{prefix}scores{finer}")([raised, scores])
        tensors[f"scores{finer}"] = x
        reached = finer
    x = _raise(x, reached, f"{prefix}scores{reached}_up")
    tensors["logits"] = CropTo(name=f"{prefix}crop")([x, image])
    tensors.update(
        segmentation_heads({"mask": tensors["logits"]}, activation=activation, prefix=prefix)
    )
    return network_model("fcn", arguments, image, tensors)


def _raise(x, factor: int, name: str):
    bilinear: Any = BilinearKernel()
    return keras.layers.Conv2DTranspose(
        x.shape[-1],
        2 * factor,
        strides=factor,
        padding="same",
        use_bias=False,
        kernel_initializer=bilinear,
        name=name,
    )(x)


@register
class BilinearKernel(keras.initializers.Initializer):
    """Kernel (2 f, 2 f, C, C) of a transposed convolution that interpolates by f, bilinearly."""

    def __call__(self, shape, dtype=None, **kwargs):
        size, other, rows, columns = shape
        factor = size // 2
        if size != 2 * factor or other != size or rows != columns:
            raise InputError(
                f"BilinearKernel: expected a shape (2 f, 2 f, C, C), found {tuple(shape)}"
            )
        hat = 1 - np.abs((np.arange(size) + 0.5) / factor - 1)
        kernel = np.outer(hat, hat)[:, :, None, None] * np.eye(rows)
        return tf.constant(kernel, dtype or "float32")
