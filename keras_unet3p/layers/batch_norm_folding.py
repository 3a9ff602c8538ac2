"""Which batch normalisations can go into the convolutions before them, and what these become."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p.layers.upsample_conv2d import UpsampleConv2D


def foldable_pairs(model: Any) -> Iterator[tuple[Any, Any]]:
    """Each convolution that is read by one batch normalisation and nothing else, with it.

    Only convolutions with a bias, which can take the shift up; those of nested models too.
    """
    layers: list[Any] = []
    outputs: set[int] = set()

    def collect(part: Any) -> None:
        outputs.update(id(tensor) for tensor in tf.nest.flatten(getattr(part, "outputs", None)))
        for layer in getattr(part, "layers", []):
            if isinstance(layer, keras.Model):
                collect(layer)
            else:
                layers.append(layer)

    collect(model)
    producers = {id(_single(layer, "output")): layer for layer in layers}
    kinds = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, UpsampleConv2D)
    for norm in layers:
        if type(norm) is not keras.layers.BatchNormalization or norm.axis not in (-1, 3, [3]):
            continue
        source = _single(norm, "input")
        layer = producers.get(id(source)) if source is not None else None
        if layer is None or type(layer) not in kinds or layer.bias is None:
            continue
        linear = getattr(layer, "activation", None) in (None, keras.activations.linear)
        # Nodes count every reader: layers, nested models, and operations that are no layers.
        if linear and len(layer._outbound_nodes) == 1 and id(source) not in outputs:
            yield layer, norm


def _single(layer, side: str):
    """The layer's only input or output tensor; None where it has several or was called twice."""
    try:
        tensor = getattr(layer, side)
    except (AttributeError, ValueError):
        return None
    return None if isinstance(tensor, (list, tuple, dict)) else tensor


def folded_weights(convolution: Any, norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias, float64, with which `convolution` alone gives what `norm` made of it."""
    mean, variance = (np.asarray(w, np.float64) for w in (norm.moving_mean, norm.moving_variance))
    scale = 1.0 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * np.asarray(norm.gamma, np.float64)
    shift = -mean * scale
    if norm.center:
        shift = shift + np.asarray(norm.beta, np.float64)
    kernel, bias = (np.asarray(w, np.float64) for w in convolution.get_weights())
    transposed = isinstance(convolution, keras.layers.Conv2DTranspose)
    return kernel * (scale[:, np.newaxis] if transposed else scale), bias * scale + shift
