"""From a function on tensors to a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_unet3p.models.arguments import resolve_input_shape
from keras_unet3p.models.segmentation_model import SegmentationModel


def build_model(
    network: Callable[..., Mapping[str, Any]],
    input_shape: Sequence[int | None],
    num_classes: int,
    classifier_activation: str | None,
    name: str,
    options: Mapping[str, Any],
) -> SegmentationModel:
    """`network` on an input of its own, as a model of its masks and its presence head."""
    image = keras.Input(resolve_input_shape(input_shape), name="image")
    tensors = network(image, num_classes, classifier_activation, **options)
    heads = {
        key: tensor
        for key, tensor in tensors.items()
        if key in ("mask", "presence") or key.startswith("mask_")
    }
    return SegmentationModel(image, heads if len(heads) > 1 else heads["mask"], name=name)
