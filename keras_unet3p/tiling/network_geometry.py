"""What a network does to the size of an image, read off the network itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_unet3p.errors import InputError
from keras_unet3p.tiling.geometry import TileGeometry

_STRIDED = {
    "Conv2D": "strides",
    "DepthwiseConv2dNative": "strides",
    "MaxPool": "strides",
    "MaxPoolV2": "strides",
    "AvgPool": "strides",
}


def network_function(
    model: Any, activation: str | None = "auto"
) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from tiles (B, h, w, C) to probabilities (B, h', w', K) that runs `model`.

    Args:
        model: a Keras model or any callable on a tensor. Of several outputs the one named "mask" is
            taken, else the first.
        activation: "sigmoid" or "softmax" when the model gives logits; None when it gives
            probabilities; "auto" finds out which from the project's own models and takes others to
            give probabilities.

    Raises:
        ValueError: on another activation.
    """
    activation = resolve_activation(model, activation)
    is_keras = hasattr(model, "get_config") and hasattr(model, "weights")

    def run(tiles: tf.Tensor) -> tf.Tensor:
        result = model(tiles, training=False) if is_keras else model(tiles)
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
    """What turns the model's output into probabilities; see `network_function`.

    Raises:
        ValueError: on an unknown activation.
    """
    if activation not in (None, "auto", "sigmoid", "softmax"):
        raise InputError(
            f"activation must be 'auto', None, 'sigmoid' or 'softmax', found {activation!r}"
        )
    if activation != "auto":
        return activation
    if getattr(model, "classifier_activation", "unknown") is not None:
        return None
    return "sigmoid" if model.num_classes == 1 else "softmax"


def is_multi_label(model: Any, num_classes: int, activation: str | None = "auto") -> bool:
    """Whether classes may overlap: there are several, and each has a sigmoid of its own."""
    activation = resolve_activation(model, activation)
    return (
        num_classes > 1
        and (activation or getattr(model, "classifier_activation", None)) == "sigmoid"
    )


def input_channels(model: Any) -> int:
    """The number of channels of the model's one image input.

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
    """Height and width of the model's input where it takes one size only, else None."""
    shape = model.input_shape
    if isinstance(shape, dict):
        shape = list(shape.values())
    if isinstance(shape, list):
        shape = shape[0]
    if shape[1] is None or shape[2] is None:
        return None
    return int(shape[1]), int(shape[2])


def trace_network(network: Callable, size: tuple[int, int], channels: int) -> Any:
    """The concrete function of `network` for tiles of one size and any batch.

    Raises:
        ValueError: if the network does not take this size.
    """
    spec = tf.TensorSpec((None, *size, channels), tf.float32, name="tile")
    return tf.function(network, jit_compile=False, autograph=False).get_concrete_function(spec)


def graph_stride(graph_def: Any) -> int:
    """The largest step at which a frozen network samples the image.

    Strides of convolutions and poolings are multiplied along every path of the graph. A path that
    goes down again after it went up gives a multiple of the true step, which is as right.
    """
    steps: dict[str, int] = {}
    largest = 1
    for node in _flat_nodes(graph_def):
        step = max((steps.get(_source(name), 1) for name in node.input), default=1)
        if node.op in _STRIDED:
            strides = list(node.attr["strides"].list.i)
            step *= max(strides[1:3] if node.attr["data_format"].s != b"NCHW" else strides[2:4])
        steps[node.name] = step
        largest = max(largest, step)
    return largest


def _source(name: str) -> str:
    return name.lstrip("^").split(":")[0]


def _flat_nodes(graph_def: Any) -> list:
    """The nodes so that every node comes after its inputs."""
    nodes = {node.name: node for node in graph_def.node}
    order: list = []
    done: set[str] = set()
    for name in nodes:
        stack = [name]
        while stack:
            top = stack[-1]
            if top in done:
                stack.pop()
                continue
            waiting = [
                source
                for source in map(_source, nodes[top].input)
                if source in nodes and source not in done
            ]
            if waiting:
                stack.extend(waiting)
            else:
                done.add(top)
                order.append(nodes[top])
                stack.pop()
    return order


def accepted_tile(
    network: Callable, tile: tuple[int, int], channels: int, divisor: int | None
) -> tuple[tuple[int, int], Any]:
    """The largest tile not above `tile` that the network takes, and its concrete function.

    Sizes down to `divisor` (64 when unknown) pixels smaller are tried.

    Raises:
        ValueError: if none is taken; the network's own message is the cause.
    """
    problem: Exception | None = None
    for less in range(divisor or 64):
        size = tile[0] - less, tile[1] - less
        if min(size) < 1:
            break
        try:
            return size, trace_network(network, size, channels)
        except Exception as error:  # Keras and TensorFlow raise several kinds for a wrong size
            problem = problem or error
    raise InputError(
        f"the model takes no tile of {tile[0]}x{tile[1]} pixels nor one a little smaller: {problem}"
    ) from problem


def model_geometry(
    model: Any,
    tile_size: int | tuple[int, int] = 512,
    halo: int | str | None = None,
    *,
    blend: int | None = None,
    border: int = 0,
) -> TileGeometry:
    """The tile geometry for a model.

    Args:
        model: a Keras model of one image input.
        tile_size: side of the tile in pixels, or height and width. A model of one fixed input size
            gets that size; else the largest size not above it that the model takes.
        halo: pixels of context on each side that are not kept, rounded up to the model's stride.
            "exact" takes what the model needs for tiles to equal the whole image (`exact_halo`),
            and the width of the cross-fade more, which is 0 then unless it is given. None gives an
            unpadded network its margin, which is exact, and a padded one an eighth of the tile,
            which is cheaper than exact and leaves no visible seam where tiles are blended.
        blend: width of the cross-fade between tiles; None as wide as the halo allows, 0 none.
        border: pixels that are mirrored around the image on top of an unpadded network's margin, at
            most as many as the halo has on top of it. With 0 a padded network gives at the image's
            border what it gives for the image in one piece, if that is at least as large as a tile;
            a smaller image is mirrored on the right and below until it fills one.

    Returns:
        The geometry; `margin` and `stride` in it come from the model.
    """
    from keras_unet3p.tiling.receptive_field import exact_halo  # which needs this module

    network = network_function(model)
    channels = input_channels(model)
    tile = (tile_size, tile_size) if isinstance(tile_size, int) else (tile_size[0], tile_size[1])
    tile = fixed_input_size(model) or tile
    divisor = getattr(model, "size_divisor", None)
    tile, traced = accepted_tile(network, tile, channels, divisor)
    margin = output_margin(traced, tile)
    stride = int(divisor or graph_stride(traced.graph.as_graph_def()))
    if halo == "exact":
        blend = blend or 0
        halo = exact_halo(model) + blend
    elif halo is None:
        halo = margin if margin else min(tile) // 8
    elif not isinstance(halo, int):
        raise InputError(f"halo must be pixels, 'exact' or None, found {halo!r}")
    return TileGeometry.fit(tile, halo, margin=margin, stride=stride, blend=blend, border=border)


def output_margin(traced: Any, tile: tuple[int, int]) -> int:
    """How many pixels the traced network's output is smaller than its input, on each side.

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
