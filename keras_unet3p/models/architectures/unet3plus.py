"""UNet 3+ (Huang et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal

import keras

from keras_unet3p.layers import InputSize
from keras_unet3p.models.arguments import (
    InitializerLike,
    NormalizationLike,
    RegularizerLike,
    level_filters,
    resolve_activation,
)
from keras_unet3p.models.blocks import Blocks
from keras_unet3p.models.build import network_input, network_model
from keras_unet3p.models.encoders import encoder_tensors
from keras_unet3p.models.heads import segmentation_heads
from keras_unet3p.models.segmentation_model import SegmentationModel


def unet3plus(
    input_shape: Sequence[int | None] = (None, None, 1),
    num_classes: int = 1,
    classifier_activation: Literal["auto", "sigmoid", "softmax"] | None = "auto",
    *,
    input_tensor: Any = None,
    filters: int | Sequence[int] = 64,
    depth: int | None = None,
    deep_supervision: bool = False,
    classification_guided: bool = False,
    head_weights: Mapping[str, float] | float | None = None,
    presence_weight: float = 1.0,
    presence_dropout: float = 0.5,
    training_gate: Literal["open", "soft"] = "open",
    branch_filters: int | None = None,
    encoder: str = "plain",
    encoder_weights: str | PathLike | None = None,
    encoder_trainable: bool = True,
    normalization: NormalizationLike | None = None,
    kernel_initializer: InitializerLike | None = None,
    kernel_regularizer: RegularizerLike | None = None,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    batch_norm_synchronized: bool = False,
    batch_norm_gamma: InitializerLike = "ones",
    upsample_method: Literal["auto", "low_resolution", "plain"] = "auto",
    prefix: str = "",
    name: str = "unet3plus",
) -> SegmentationModel:
    """UNet 3+ as a Keras model.

    Layers are named after the paper's nodes: `e2_1_conv`, `e2_1_bn` (encoder stage 2, first
    convolution); `d3_e5_conv` (what decoder stage 3 takes from e5), `d3_conv` (its aggregation);
    `mask_conv`, `mask_d2_conv`, ... (heads); `presence_conv`.

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
        deep_supervision: adds a head on every other decoder stage and on the deepest encoder stage.
        classification_guided: adds the classification-guided module, which gates every head.
        head_weights: weights of the side heads in the loss, by name or one for all; 1 if not given.
        presence_weight: weight of the classification-guided module in the loss.
        presence_dropout: rate of the dropout before the classification-guided module.
        training_gate: what the module does to the masks in training: "open" nothing, "soft" a
            product of probabilities (`layers.PresenceGate`).
        branch_filters: channels that a decoder stage takes from each source; the finest encoder
            stage's if not given.
        encoder: the contracting path, one of `ENCODERS`: the paper's own, "plain", or a network of
            `keras.applications`; the decoder is the same on each.
        encoder_weights: "imagenet", or the path of a file of weights; not for "plain".
        encoder_trainable: whether training changes the encoder; not for "plain".
        normalization: (mean, std), numbers or one for each channel, or an object with both:
            `layers.IntensityNormalization` first. With `percentiles` (`images.Normalization`)
            each image is stretched by its own.
        kernel_initializer: None is the untruncated He normal distribution.
        kernel_regularizer: of all convolutions.
        batch_norm_momentum, batch_norm_epsilon, batch_norm_gamma: of batch normalisation; the
            defaults are PyTorch's. The authors draw gamma from N(1, 0.02):
            `keras.initializers.RandomNormal(1.0, 0.02)`.
        batch_norm_synchronized: whether its statistics in training are those of all devices of a
            `tf.distribute` strategy together, the encoder's too, or each device's own.
        upsample_method: "auto", "low_resolution" or "plain": how upsampling and convolution are
            computed (`layers.UpsampleConv2D`). The result is the same.
        prefix: put before every layer's name; networks in one model need one each.
        name: the model's name.

    Returns:
        A model (B, H, W, C) -> (B, H, W, K) in float32. With `deep_supervision` or
        `classification_guided` it holds further heads, which only training sees: see
        `SegmentationModel`.

        `model.features` are its named tensors: "e1", ... "e5" of the encoder; "d4", ... "d1" of the
        decoder; "mask"; with deep supervision "mask_d2", "mask_d3", "mask_d4", "mask_e5", of the
        image's size; with the classification-guided module "presence", (B, K), or (B, 2) (absent,
        present) for one class.

    Raises:
        ValueError: an argument, or a height or width that the network cannot take.

    Example:
        >>> model = unet3plus((64, 64, 1), filters=4, depth=2, deep_supervision=True)
        >>> tuple(model.output["mask"].shape)
        (None, 64, 64, 1)
        >>> list(model.features)[:3]
        ['e1', 'e1_pool2', 'e2']
        >>> image = keras.Input((64, 64, 3))
        >>> mine = unet3plus(input_tensor=keras.layers.Rescaling(1 / 255)(image), filters=4)
        >>> features = keras.Model(image, mine.features["d1"])
    """
    arguments = dict(locals())
    image = network_input(input_shape, input_tensor, prefix)
    levels = level_filters(filters, depth)
    activation = resolve_activation(classifier_activation, num_classes)
    deepest = len(levels)
    branch = levels[0] if branch_filters is None else branch_filters
    aggregate = branch * deepest
    blocks = Blocks(
        prefix=prefix,
        kernel_initializer=kernel_initializer,
        kernel_regularizer=kernel_regularizer,
        batch_norm_momentum=batch_norm_momentum,
        batch_norm_epsilon=batch_norm_epsilon,
        batch_norm_synchronized=batch_norm_synchronized,
        batch_norm_gamma=batch_norm_gamma,
        upsample_method=upsample_method,
    )

    x = InputSize(2 ** (deepest - 1), name=f"{prefix}input_size")(image)
    tensors = encoder_tensors(
        x,
        encoder,
        levels=levels,
        encoder_weights=encoder_weights,
        encoder_trainable=encoder_trainable,
        normalization=normalization,
        blocks=blocks,
    )
    pooled = {}
    for source in range(1, deepest):
        x = pooled[source, source] = tensors[f"e{source}"]
        # Pooling by 4 is pooling by 2 twice: each pooled map is made once, from the one before.
        for stage in range(source + 1, deepest):
            name = f"e{source}_pool{2 ** (stage - source)}"
            x = tensors[name] if name in tensors else blocks.max_pool(x, 2, name)
            pooled[source, stage] = x

    for stage in range(deepest - 1, 0, -1):
        branches = []
        for source in range(1, deepest + 1):
            origin = f"e{source}" if source <= stage or source == deepest else f"d{source}"
            name = f"d{stage}_{origin}"
            if source <= stage:
                x = blocks.conv_relu(pooled[source, stage], branch, name)
            else:
                factor = 2 ** (source - stage)
                x = blocks.upsample_conv_relu(tensors[origin], branch, factor, name)
            branches.append(x)
        x = blocks.concatenate(branches, f"d{stage}_concat")
        tensors[f"d{stage}"] = blocks.conv_relu(x, aggregate, f"d{stage}")

    logits = {"mask": blocks.conv(tensors["d1"], num_classes, 3, "mask_conv")}
    if deep_supervision:
        for stage in range(2, deepest + 1):
            origin = f"d{stage}" if stage < deepest else f"e{stage}"
            x = blocks.conv(tensors[origin], num_classes, 3, f"mask_{origin}_conv")
            logits[f"mask_{origin}"] = blocks.upsample(x, 2 ** (stage - 1), f"mask_{origin}_up")
    presence = None
    if classification_guided:
        x = blocks.dropout(tensors[f"e{deepest}"], presence_dropout, "presence_dropout")
        x = blocks.conv(x, 2 if num_classes == 1 else num_classes, 1, "presence_conv")
        presence = keras.layers.GlobalMaxPooling2D(name=f"{prefix}presence_pool")(x)
    tensors.update(
        segmentation_heads(
            logits,
            activation=activation,
            presence_logits=presence,
            head_weights=head_weights,
            presence_weight=presence_weight,
            training_gate=training_gate,
            prefix=prefix,
        )
    )
    return network_model("unet3plus", arguments, image, tensors)
