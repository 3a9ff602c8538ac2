"""How a builder begins, with an input, and ends, with a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_unet3p import compat
from keras_unet3p.errors import InputError
from keras_unet3p.models.arguments import check_prefix, resolve_input_shape, resolve_normalization
from keras_unet3p.models.blueprint import Blueprint, plain
from keras_unet3p.models.segmentation_model import SegmentationModel


def network_input(input_shape: Sequence[int | None], input_tensor: Any, prefix: str) -> Any:
    """The Keras tensor (B, H, W, C) on which a network is built.

    Raises:
        ValueError: the shape lacks the channels; `input_tensor` is no Keras tensor of images, or
            is made by a network with the same prefix.
    """
    if input_tensor is None:
        return keras.Input(resolve_input_shape(input_shape), name=f"{prefix}image")
    if not compat.is_keras_tensor(input_tensor):
        raise InputError(
            "input_tensor: expected a Keras tensor (batch, height, width, channels), "
            f"found {type(input_tensor).__name__}; call the model on values instead"
        )
    shape = tuple(input_tensor.shape)
    if len(shape) != 4 or shape[3] is None:
        raise InputError(
            "input_tensor: expected a Keras tensor (batch, height, width, channels) with the "
            f"channels known, found shape {shape}"
        )
    check_prefix(input_tensor, prefix)
    return input_tensor


def network_model(
    architecture: str, arguments: Mapping[str, Any], image: Any, tensors: Mapping[str, Any]
) -> SegmentationModel:
    """The model of a network's heads, which remembers what it was built as.

    Args:
        architecture: the builder's name.
        arguments: all of the builder's.
        image: what `network_input` gave.
        tensors: the network's, by name; "mask", those that begin with "mask_", and "presence" are
            the heads.
    """
    heads = {
        name: tensor
        for name, tensor in tensors.items()
        if name in ("mask", "presence") or name.startswith("mask_")
    }
    sources = compat.source_inputs(image)
    model = SegmentationModel(
        sources[0] if len(sources) == 1 else sources,
        heads if len(heads) > 1 else heads["mask"],
        name=arguments["name"],
    )
    options = {name: value for name, value in arguments.items() if name != "input_tensor"}
    options["input_shape"] = image.shape[1:]
    options["normalization"] = resolve_normalization(options["normalization"])
    model.blueprint = Blueprint(
        architecture,
        {name: plain(value) for name, value in options.items()},
        {name: compat.place_of(tensor) for name, tensor in tensors.items()},
    )
    return model
