"""Fine-tuning: the weights of another network are taken over, and layers are kept as they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.models.taken_weights import TakenWeights

_ENCODER = re.compile(r"encoder|e\d+_")
_PARTS = {"encoder": _ENCODER}


def take_weights(model: Any, source: Any) -> TakenWeights:
    """Give the layers of a network the weights of another network's layers, where they fit.

    Layers belong together by their names (without the networks' `prefix`), and fit if their weights
    have the same shapes. So a head for another number of classes stays as it is. The first
    convolution of a network for images of another number of channels gets the mean of the kernel
    over the source's channels, times their number, divided by the number of the new ones: it
    answers to a grey image as before.

    Args:
        model: the network that is changed.
        source: the network whose weights are copied.

    Returns:
        Which layers were taken over.

    Raises:
        ValueError: no layer fits.

    Example:
        >>> source = ku.models.unet((32, 32, 1), num_classes=1, filters=2, depth=1)
        >>> model = ku.models.unet((32, 32, 3), num_classes=4, filters=2, depth=1)
        >>> print(ku.models.take_weights(model, source))
        took 7 of 8 layers; averaged over the image's channels: e1_1_conv; new: head (4 classes)
    """
    channels = source.input_shape[-1], model.input_shape[-1]
    theirs = _layers(source)
    taken, averaged, new = [], [], []
    for name, layer in _layers(model).items():
        found = theirs.get(name)
        same_kind = found is not None and getattr(found, "encoder", 0) == getattr(
            layer, "encoder", 0
        )
        values = found.get_weights() if found is not None and same_kind else []
        shapes = [tuple(value.shape) for value in layer.get_weights()]
        if [value.shape for value in values] == shapes:
            layer.set_weights(values)
        elif _reads_the_image([value.shape for value in values], shapes, channels):
            kernel = values[0].mean(axis=2, keepdims=True) * (channels[0] / channels[1])
            layer.set_weights([np.repeat(kernel, channels[1], axis=2), *values[1:]])
            averaged.append(name)
        else:
            new.append(name)
            continue
        taken.append(name)
    if not taken:
        raise InputError(
            f"source: no layer of {source.name!r} has the name and the shape of one of "
            f"{model.name!r}; expected a network of the same architecture and filters"
        )
    return TakenWeights(tuple(taken), tuple(averaged), tuple(new), int(model.num_classes))


def freeze_layers(model: Any, parts: Sequence[str]) -> list[str]:
    """Keep layers as they are in training. Call it before `compile`.

    Batch normalisation that is frozen works with its own mean and variance in training too, as
    Keras does it, and leaves them as they are.

    Args:
        model: the network.
        parts: "encoder" (the contracting path), or what names of layers begin with, "e1_" or
            "d3_e1" say; names without the network's `prefix`.

    Returns:
        The names of the frozen layers that have weights.

    Raises:
        ValueError: a part is no layer's, or nothing is left to be trained.

    Example:
        >>> model = ku.models.unet(filters=2, depth=1)
        >>> ku.models.freeze_layers(model, ["encoder"])
        ['e1_1_conv', 'e1_2_conv', 'e2_1_conv', 'e2_2_conv']
    """
    layers = _layers(model)
    frozen = set()
    for part in parts:
        pattern = _PARTS.get(part) or re.compile(re.escape(part))
        found = {name for name in layers if pattern.match(name)}
        if not found:
            raise InputError(
                f"freeze: no layer's name begins with {part!r}; expected 'encoder', or the "
                f"beginning of one of {', '.join(layers)}"
            )
        frozen |= found
    if len(frozen) == len(layers):
        raise InputError(f"freeze: {', '.join(parts)} leaves nothing to be trained")
    for name in frozen:
        layers[name].trainable = False
    return [name for name in layers if name in frozen]


def _layers(model: Any) -> dict[str, Any]:
    """The layers with weights, by their names without the network's prefix."""
    prefix = getattr(model, "options", {}).get("prefix", "")
    return {
        layer.name.removeprefix(prefix): layer
        for layer in model.layers
        if layer.weights and layer.name.startswith(prefix)
    }


def _reads_the_image(theirs: Sequence, ours: Sequence, channels: tuple[int, int]) -> bool:
    """Whether these are shapes of one convolution on images of either number of channels."""
    if not theirs or len(theirs) != len(ours) or theirs[1:] != ours[1:]:
        return False
    one, other = theirs[0], ours[0]
    if len(one) != 4 or len(other) != 4 or (one[2], other[2]) != channels:
        return False
    return (one[:2], one[3]) == (other[:2], other[3])
