"""Fully convolutional networks FCN-32s, FCN-16s, FCN-8s (Long, Shelhamer, Darrell 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p.compat import register
from keras_unet3p.errors import InputError
from keras_unet3p.layers import CropTo, PadToMultiple
from keras_unet3p.models.arguments import (
    check_choice,
    check_prefix,
    level_filters,
    resolve_activation,
)
from keras_unet3p.models.blocks import Blocks
from keras_unet3p.models.build import build_model
from keras_unet3p.models.encoders import encoder_tensors
from keras_unet3p.models.heads import segmentation_heads
from keras_unet3p.models.segmentation_model import SegmentationModel


def fcn(
    input_shape: Sequence[int | None] = (None, None, 3),
    num_classes: int = 1,
    classifier_activation: str | None = "auto",
    *,
    name: str = "fcn",
    **options: Any,
) -> SegmentationModel:
    """FCN-32s, FCN-16s or FCN-8s as a Keras model.

    Args:
        input_shape: (H, W, C); H and W may be None, and may be any size.
        num_classes: channels of the mask. One is foreground against background.
        classifier_activation: "auto" ("sigmoid" for one class, "softmax" for more), "sigmoid",
            "softmax", or None for logits.
        name: the model's name.
        **options: all further arguments of `fcn_tensors`.

    Returns:
        A model (B, H, W, C) -> (B, H, W, K) in float32.

    Raises:
        ValueError: an argument.
    """
    return build_model(fcn_tensors, input_shape, num_classes, classifier_activation, name, options)


def fcn_tensors(
    image,
    num_classes: int = 1,
    classifier_activation: str | None = "auto",
    *,
    stride: int = 8,
    dense_filters: int = 4096,
    dropout: float = 0.5,
    filters: int | Sequence[int] = 64,
    encoder: str = "vgg16",
    encoder_weights: str | PathLike | None = None,
    encoder_trainable: bool = True,
    normalization: Any = None,
    kernel_initializer: Any = None,
    kernel_regularizer: Any = None,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    prefix: str = "",
) -> dict[str, Any]:
    """An FCN on a Keras tensor, for embedding in a model of your own.

    The classifier's dense layers are a 7x7 and a 1x1 convolution on the map of stride 32 (section
    4.1). Class scores at strides 32, 16 and 8, those of stride 16 and 8 starting at zero, are
    summed, each raised to the next by a transposed convolution that starts as bilinear
    interpolation (section 4.2).

    Args:
        image: Keras tensor (B, H, W, C), of any height and width: it is padded with zeros on the
            bottom and the right to a multiple of 32, and the mask is cropped.
        num_classes, classifier_activation: as in `fcn`.
        stride: of the finest scores: 32, 16 or 8.
        dense_filters: channels of the two convolutions that stand for the dense layers.
        dropout: rate after each of the two.
        filters: channels of the plain encoder's five levels, or of the first.
        encoder, encoder_weights, encoder_trainable: the classification network (`encoder_tensors`);
            the paper's is VGG16.
        normalization: (mean, std), or an object with both: `layers.IntensityNormalization` first.
        kernel_initializer: None is the untruncated He normal distribution.
        kernel_regularizer: of all convolutions.
        batch_norm_momentum, batch_norm_epsilon: of the plain encoder's batch normalisation.
        prefix: put before every layer's name.

    Returns:
        "e1", ... "e5": the encoder's features; "scores32" (, "scores16", "scores8"): summed class
        scores; "logits"; "mask".

    Raises:
        ValueError: as `fcn`.
    """
    check_prefix(image, prefix)
    activation = resolve_activation(classifier_activation, num_classes)
    check_choice("stride", stride, (8, 16, 32))
    blocks = Blocks(
        prefix=prefix,
        kernel_initializer=kernel_initializer,
        kernel_regularizer=kernel_regularizer,
        batch_norm_momentum=batch_norm_momentum,
        batch_norm_epsilon=batch_norm_epsilon,
    )
    dense = Blocks(
        prefix=prefix,
        batch_norm=False,
        kernel_initializer=kernel_initializer,
        kernel_regularizer=kernel_regularizer,
    )

    x = PadToMultiple(32, name=f"{prefix}pad")(image)
    tensors = encoder_tensors(
        x,
        encoder,
        levels=level_filters(filters, 4),
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
    return tensors


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
