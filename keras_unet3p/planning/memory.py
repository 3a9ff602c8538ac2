"""The memory that a training takes, from what its network computes and holds."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import keras

from keras_unet3p import compat, models
from keras_unet3p.config import TrainingConfig
from keras_unet3p.planning.fingerprint import Fingerprint
from keras_unet3p.targets.instances import INSTANCE_MAPS

# Fitted by benchmarks/memory/training.py, whose table has what was measured on CPUs.
FACTORS: Mapping[str, float] = MappingProxyType(
    {
        "base": compat.PROCESS_BYTES,
        "activations": 0.97,
        "weights": 9.4,
        "heads": 50e6,
        "image": 220.0,
    }
)
"""What the parts of a training's memory are multiplied by: `parts_of`."""
CACHE_BYTES = 400_000_000
"""What `data.open_images` keeps of what was decoded, at most."""
SHARE = 0.8
"""Of a machine's memory that a plan may take: the prediction is off by up to a quarter, and others
need some."""
_VALUES_OF_LOSS = 8  # for each pixel and map: mask, probability, loss, and what they come from
_SIDE = 128  # of the patch for which the outputs of a network's layers are counted
_IN_PLACE = ("InputLayer", "InputSize", "BatchNormalization", "Dropout", "Activation")
"""Layers that give no values of their own: the input itself, or values that the activation behind
them overwrites."""


class NetworkSize(NamedTuple):
    """What a network computes and holds.

    Attributes:
        activations: values that its layers give for each pixel of a patch.
        weights: number of its weights.
        heads: its outputs while it is trained.
    """

    activations: float
    weights: int
    heads: int

    @classmethod
    def of(cls, config: TrainingConfig) -> NetworkSize:
        """Of the network of a configuration, built for images and masks of one channel.

        Args:
            config: the choices of the training.

        Example:
            >>> config = TrainingConfig(architecture="unet", filters=2, depth=1)
            >>> size = NetworkSize.of(config)
            >>> size.weights, size.heads
            (431, 1)
        """
        options = config.network_options()
        options.pop("encoder_weights", None)  # need not be there, and change no size
        side = math.lcm(_SIDE, 2 ** (config.depth or 4))
        if config.padding == "valid":
            side = config.patch_size
        return _size(config.architecture, tuple(sorted(options.items())), side)


@functools.lru_cache(maxsize=256)
def _size(architecture: str, options: tuple[tuple[str, Any], ...], side: int) -> NetworkSize:
    build = getattr(models, architecture)
    model = build(input_shape=(side, side, 1), **dict(options))
    values = sum(
        math.prod(int(length) for length in shape[1:])
        for layer in _layers(model, side)
        if type(layer).__name__ not in _IN_PLACE
        for shape in _shapes(layer)
    )
    return NetworkSize(values / side**2, model.count_params(), len(model.outputs))


def _layers(model: Any, side: int) -> list[Any]:
    """Of the network and of the encoder in it, whose layers know no sizes until it is made anew."""
    found: list[Any] = []
    for layer in model.layers:
        if hasattr(layer, "layers"):
            sized = keras.Input((side, side, layer.inputs[0].shape[-1]))
            tensors = sized if compat.KERAS_3 else [sized]
            found += _layers(keras.models.clone_model(layer, input_tensors=tensors), side)
        else:
            found.append(layer)
    return found


def _shapes(layer: Any) -> list[Any]:
    output = layer.output
    return [tensor.shape for tensor in (output if isinstance(output, list | tuple) else [output])]


def training_memory(config: TrainingConfig, fingerprint: Fingerprint) -> int | None:
    """The most memory that `unet3p train` takes on a CPU, bytes.

    Resident memory of the process, as the system counts it. What was measured lies within a quarter
    of it: `benchmarks/memory/training.py`.

    Args:
        config: the choices of the training.
        fingerprint: of the images and masks.

    Returns:
        Bytes; None for a network of `init`, which is not known here.

    Example:
        >>> config = TrainingConfig(architecture="unet", filters=2, depth=1)
        >>> training_memory(config, fingerprint) / 1e9  # doctest: +SKIP
        0.93
    """
    if config.init is not None:
        return None
    parts = parts_of(config, fingerprint)
    needed = sum(FACTORS[name] * value for name, value in parts.items())
    return round(needed + decoded_bytes(fingerprint))


def decoded_bytes(fingerprint: Fingerprint) -> float:
    """Bytes of the images and masks that stay decoded."""
    per_pixel = fingerprint.bytes_per_pixel or fingerprint.channels + 1
    return min(fingerprint.total_pixels * per_pixel, CACHE_BYTES)


def parts_of(config: TrainingConfig, fingerprint: Fingerprint) -> dict[str, float]:
    """What the memory grows with, in the order of `FACTORS`.

    Returns:
        base: 1.
        activations: bytes that the layers give in a step. With the factor: what is kept for the
        backward pass, the gradients, and what convolutions need meanwhile.
        weights: bytes of the weights. With the factor: gradients, the optimizer's moments, the
        moving average, checkpoints in the writing and the best network loaded at the end.
        heads: those beyond the first, each of which has a loss, whose graph takes memory itself.
        image: pixels of an image. With the factor: its maps, objects and pictures at the end.

    Example:
        >>> parts_of(config, fingerprint)  # doctest: +SKIP
    """
    is_distance = config.learns_distance(fingerprint.mask_kind)
    maps = INSTANCE_MAPS if is_distance else fingerprint.num_classes
    size = NetworkSize.of(config)
    pixels = config.batch_size * config.patch_size**2
    values = size.activations + _VALUES_OF_LOSS * size.heads * maps
    return {
        "base": 1.0,
        # Also with half precision, which was measured to need 5 % less at most on a CPU.
        "activations": 4.0 * values * pixels,
        "weights": 4.0 * size.weights,
        "heads": size.heads - 1.0,
        "image": float(fingerprint.median_side**2),
    }
