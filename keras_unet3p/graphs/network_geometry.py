"""How a network changes the size of an image: from the model itself, or from its graph."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from keras_unet3p.errors import InputError
from keras_unet3p.geometry import NetworkFacts
from keras_unet3p.geometry.network import ACTIVATIONS, activation_to_apply
from keras_unet3p.graphs.network import Network
from keras_unet3p.graphs.nodes import in_running_order, node_name
from keras_unet3p.layers import PadToMultiple
from keras_unet3p.layers.intensity_normalization import (
    image_percentiles,
    images_are_stretched,
    takes_raw_values,
)

_STRIDED = {
    "Conv2D": "strides",
    "DepthwiseConv2dNative": "strides",
    "MaxPool": "strides",
    "MaxPoolV2": "strides",
    "AvgPool": "strides",
}
REFUSALS = (ValueError, AssertionError, tf.errors.InvalidArgumentError)
"""Errors that Keras, layers and TensorFlow raise for a size that a network does not take."""
_LARGEST_GRID = 64
"""How many sizes are tried to find one that fits a model without `facts`."""
_FACTS: weakref.WeakKeyDictionary[Any, NetworkFacts] = weakref.WeakKeyDictionary()


def network_function(
    model: Network | Callable[[tf.Tensor], Any], activation: str | None = "auto"
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function from tiles (B, h, w, C) to probabilities (B, h', w', K).

    Of a model that has each image stretched (`NetworkFacts.percentiles`), the tiles are those of
    images that are stretched already.

    Args:
        model: a Keras model or any callable on a tensor. If it has several outputs, the one named
            "mask" is taken, or the first if there is none of that name.
        activation: "sigmoid" or "softmax" if the model gives logits, None if it gives
            probabilities. "auto" asks this package's models and assumes probabilities for others.

    Raises:
        ValueError: if the activation is another one.

    Example:
        >>> model = ku.models.unet(filters=4, depth=1, classifier_activation=None)
        >>> probabilities = ku.graphs.network_function(model)(tf.zeros((1, 16, 16, 1)))
        >>> bool(tf.reduce_all((probabilities > 0) & (probabilities < 1)))
        True
    """
    activation = resolve_activation(model, activation)
    is_keras = hasattr(model, "get_config") and hasattr(model, "weights")
    call: Any = model

    def run(tiles: tf.Tensor) -> tf.Tensor:
        if is_keras:
            with images_are_stretched(model):
                result: Any = call(tiles, training=False)
        else:
            result = call(tiles)
        if isinstance(result, dict):
            result = result.get("mask", next(iter(result.values())))
        elif isinstance(result, (list, tuple)):
            result = result[0]
        result = tf.cast(result, tf.float32)
        if activation == "sigmoid":
            return tf.sigmoid(result)
        if activation == "softmax":
            return tf.nn.softmax(result)
        return result

    return run


def resolve_activation(model: Any, activation: str | None) -> str | None:
    """Return the activation that turns the model's output into probabilities, or None.

    Raises:
        ValueError: if the activation is unknown.
    """
    return activation_to_apply(
        activation, _declared_activation(model), getattr(model, "num_classes", 1)
    )


def _declared_activation(model: Any) -> str | None:
    declared = getattr(model, "classifier_activation", "unknown")
    return declared if declared in ACTIVATIONS else "unknown"


def is_multi_label(model: Any, num_classes: int, activation: str | None = "auto") -> bool:
    """Whether classes may overlap: there are several, each with its own sigmoid."""
    applied = resolve_activation(model, activation)
    return num_classes > 1 and (applied or _declared_activation(model)) == "sigmoid"


def input_channels(model: Any) -> int:
    """Return the number of channels of the model's image input.

    Raises:
        ValueError: if the model has several inputs or an unknown number of channels.
    """
    shape = model.input_shape
    if isinstance(shape, dict):
        shape = list(shape.values())
    if isinstance(shape, list):
        if len(shape) != 1:
            raise InputError(f"model must have one image input, found {len(shape)} inputs")
        shape = shape[0]
    if shape is None or len(shape) != 4 or shape[-1] is None:
        raise InputError(
            f"model must take images (batch, height, width, channels) with a known number of "
            f"channels, found input shape {shape}"
        )
    return int(shape[-1])


def fixed_input_size(model: Any) -> tuple[int, int] | None:
    """Return height and width of the model's input if it takes one size only, else None."""
    shape = model.input_shape
    if isinstance(shape, dict):
        shape = list(shape.values())
    if isinstance(shape, list):
        shape = shape[0]
    if shape[1] is None or shape[2] is None:
        return None
    return int(shape[1]), int(shape[2])


def network_facts(model: Network) -> NetworkFacts:
    """Return what tilers and exporters must know of a model. It is computed once per model.

    This package's models have it (`SegmentationModel.facts`). Other models are traced; for them the
    accepted sizes are assumed to be one pooling step apart.

    Args:
        model: a Keras model with one image input.

    Raises:
        ValueError: if the model has another kind of input, or takes none of the sizes tried.

    Example:
        >>> facts = ku.graphs.network_facts(ku.models.unet(filters=4, padding="valid"))
        >>> facts.divisor, facts.offset, facts.minimum, facts.margin
        (16, 12, 188, 92)
    """
    found = _FACTS.get(model)
    if found is None:
        found = _FACTS[model] = getattr(model, "facts", None) or _inspected(model)
    return found


def _inspected(model: Network) -> NetworkFacts:
    channels, fixed = input_channels(model), fixed_input_size(model)
    network = network_function(model, None)  # for its shapes
    padded = [layer.multiple for layer in _all_layers(model) if isinstance(layer, PadToMultiple)]
    if fixed is not None:
        size, traced = fixed, trace_network(network, fixed, channels)
    else:
        size, traced = _a_size_that_fits(network, channels)
    grid = graph_stride(traced.graph.as_graph_def())
    margin = output_margin(traced, size)
    return NetworkFacts(
        channels=channels,
        num_classes=int(traced.structured_outputs.shape[3]),
        activation=_declared_activation(model),
        divisor=1 if fixed is not None else grid,
        offset=0 if fixed is not None else size[0] % grid,
        minimum=2 * margin + 1,
        margin=margin,
        grid=math.lcm(grid, *padded),
        padding="zeros" if padded else "mirror",
        fixed_size=fixed,
        percentiles=image_percentiles(model),
        is_raw=takes_raw_values(model),
    )


def _all_layers(model: Any) -> Iterator[Any]:
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from _all_layers(layer)


def _a_size_that_fits(network: Callable, channels: int) -> tuple[tuple[int, int], Any]:
    # Some Keras layers cannot be traced for an open size, so fixed sizes are tried.
    problem: Exception | None = None
    for side in (256, 1024):  # unpadded networks need large images
        for less in range(_LARGEST_GRID):
            size = side - less, side - less
            try:
                return size, trace_network(network, size, channels)
            except REFUSALS as error:
                problem = problem or error
    raise InputError(
        f"the model takes no image of {size[0]}x{size[1]} pixels or a little more: {problem}"
    ) from problem


def trace_network(network: Callable, size: tuple[int | None, int | None], channels: int) -> Any:
    """Return the concrete function of `network` for tiles of one size and any batch size.

    Raises:
        ValueError: if the network does not take this size.
    """
    spec = tf.TensorSpec((None, *size, channels), tf.float32, name="tile")
    return tf.function(network, jit_compile=False, autograph=False).get_concrete_function(spec)


def graph_stride(graph_def: Any) -> int:
    """Return the largest step, in pixels, at which a frozen network samples the image.

    Strides of convolutions and poolings are multiplied along every path of the graph. A path that
    pools again after upsampling gives a multiple of the true step, which is also valid.
    """
    steps: dict[str, int] = {}
    largest = 1
    for node in in_running_order(graph_def):
        step = max((steps.get(node_name(name), 1) for name in node.input), default=1)
        if node.op in _STRIDED:
            strides = list(node.attr["strides"].list.i)
            step *= max(strides[1:3] if node.attr["data_format"].s != b"NCHW" else strides[2:4])
        steps[node.name] = step
        largest = max(largest, step)
    return largest


def output_margin(traced: Any, tile: tuple[int, int]) -> int:
    """Return by how many pixels per side the network's output is smaller than its input.

    Raises:
        ValueError: if the output is larger than the input, or smaller by an odd or unequal number.
    """
    shape = traced.structured_outputs.shape
    if shape.rank != 4 or shape[3] is None:
        raise InputError(f"model must give (batch, height, width, classes), found {shape}")
    sides = shape[1:3]
    if None in sides:
        channels = traced.inputs[0].shape[-1]
        sides = traced(tf.zeros((1, *tile, channels))).shape[1:3]
    lost = [before - after for before, after in zip(tile, sides, strict=True)]
    if lost[0] != lost[1] or lost[0] < 0 or lost[0] % 2:
        raise InputError(
            f"model must give an output as large as its input or smaller by the same even number "
            f"of pixels in height and width, found {sides[0]}x{sides[1]} for {tile[0]}x{tile[1]}"
        )
    return lost[0] // 2
