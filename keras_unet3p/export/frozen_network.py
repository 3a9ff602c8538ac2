"""A network as a graph of constants, with batch normalisation folded into its convolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from keras_unet3p.layers import UpsampleConv2D
from keras_unet3p.tiling.network_geometry import trace_network

GRAPH_LIMIT = 2**31 - 1
"""Bytes that a serialized graph may have."""


def frozen_network(
    model: Any, network: Callable[[tf.Tensor], tf.Tensor], size: tuple[int, int], channels: int
) -> Callable[[tf.Tensor], tf.Tensor]:
    """`network` for tiles (B, *size, channels) with the weights as constants.

    Where a convolution is followed by batch normalisation, the normalisation's scale is multiplied
    into the kernel and its shift added to the bias: the same function (to float rounding) in one
    step less, and the convolution, its bias and the ReLU then run as one kernel. TensorFlow's own
    graph optimizer does not do this for a convolution that has a bias.

    Args:
        model: the Keras model that `network` runs.
        network: function from tiles to probabilities.
        size: height and width of a tile.
        channels: channels of a tile.

    Returns:
        A function without variables; inside another graph it is one function call.

    Raises:
        ValueError: if the weights exceed the 2 GB that a graph may hold.
    """
    size_of_weights = sum(int(np.prod(w.shape)) * 4 for w in model.weights)
    if size_of_weights > GRAPH_LIMIT:
        raise ValueError(
            f"model must have less than 2 GB of weights to be exported as a frozen graph, found "
            f"{size_of_weights / 2**30:.2f} GiB"
        )
    traced = trace_network(network, size, channels)
    constants = _constant_names(traced)
    frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    graph_def = frozen.graph.as_graph_def()
    _fold(graph_def, model, constants)
    return _function(graph_def, frozen.inputs[0].name, frozen.outputs[0])


def _function(graph_def, input_name: str, output: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
    output_name = output.name
    kept = tf.compat.v1.graph_util.extract_sub_graph(graph_def, [output_name.split(":")[0]])
    wrapped = tf.compat.v1.wrap_function(
        lambda: tf.compat.v1.import_graph_def(kept, name=""), signature=[]
    )
    graph = wrapped.graph
    pruned = wrapped.prune(graph.as_graph_element(input_name), graph.as_graph_element(output_name))

    def run(tiles: tf.Tensor) -> tf.Tensor:
        result = pruned(tf.convert_to_tensor(tiles))
        result.set_shape((None, *output.shape[1:]))
        return result

    run.graph_def = kept  # type: ignore[attr-defined]
    run.names = (input_name, output_name)  # type: ignore[attr-defined]
    run.num_classes = int(output.shape[-1])  # type: ignore[attr-defined]
    return run


def _constant_names(traced) -> dict[int, str]:
    """Identity of each variable's handle -> name of the constant that will stand for it."""
    return {id(outer): inner.op.name for outer, inner in traced.graph.captures}


def _fold(graph_def, model, constants: dict[int, str]) -> None:
    nodes = {node.name: node for node in graph_def.node}
    readers = _readers(graph_def)
    fixed = _constant_nodes(graph_def)
    for convolution, norm in _foldable_pairs(model):
        names = [_constant_name(w, constants) for w in (convolution.kernel, convolution.bias)]
        statistics = _constant_name(norm.moving_variance, constants)
        if None in names or statistics is None or any(name not in nodes for name in names):
            continue
        end = _end_of_batch_norm(nodes, readers, fixed, statistics)
        if end is None:
            continue
        normalised, source = end
        if not readers.get(normalised.name):
            continue
        scale, shift = _scale_and_shift(norm)
        kernel, bias = (np.asarray(w, np.float64) for w in convolution.get_weights())
        if isinstance(convolution, keras.layers.Conv2DTranspose):
            kernel = kernel * scale[:, np.newaxis]
        else:
            kernel = kernel * scale
        _set_constant(nodes[names[0]], kernel)
        _set_constant(nodes[names[1]], bias * scale + shift)
        _bypass(normalised, source, readers)


def _foldable_pairs(model) -> Iterator[tuple[Any, Any]]:
    """Each convolution that is read by one batch normalisation and nothing else, with it."""
    layers = list(_all_layers(model))
    producers: dict[int, list] = {}
    uses: dict[int, int] = {}
    for layer in layers:
        for tensor in tf.nest.flatten(_inputs(layer)):
            uses[id(tensor)] = uses.get(id(tensor), 0) + 1
        produced = _single(layer, "output")
        if produced is not None:
            producers.setdefault(id(produced), []).append(layer)
    for output in tf.nest.flatten(getattr(model, "outputs", None) or []):
        uses[id(output)] = uses.get(id(output), 0) + 1
    for norm in layers:
        if type(norm) is not keras.layers.BatchNormalization or norm.axis not in (-1, 3, [3]):
            continue
        source = _single(norm, "input")
        for layer in producers.get(id(source), []):
            kinds = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, UpsampleConv2D)
            linear = getattr(layer, "activation", None) in (None, keras.activations.linear)
            plain = type(layer) in kinds and linear and layer.bias is not None
            if plain and uses[id(source)] == 1:
                yield layer, norm


def _all_layers(model) -> Iterator[Any]:
    for layer in getattr(model, "layers", []):
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)
        else:
            yield layer


def _single(layer, side: str):
    """The layer's only input or output tensor; None where it has several or was called twice."""
    try:
        tensor = getattr(layer, side)
    except (AttributeError, ValueError):
        return None
    return None if isinstance(tensor, (list, tuple, dict)) else tensor


def _inputs(layer):
    try:
        return layer.input
    except (AttributeError, ValueError):
        return []


def _constant_name(variable, constants: dict[int, str]) -> str | None:
    value = getattr(variable, "value", variable)
    variable = variable if callable(value) else value
    handle = getattr(variable, "handle", None)
    return constants.get(id(handle))


def _readers(graph_def) -> dict[str, list]:
    readers: dict[str, list] = {}
    for node in graph_def.node:
        for name in node.input:
            if not name.startswith("^"):
                readers.setdefault(_node_name(name), []).append(node)
    return readers


def _node_name(tensor: str) -> str:
    return tensor.lstrip("^").split(":")[0]


def _constant_nodes(graph_def) -> set[str]:
    """Names of the nodes whose value does not depend on the input."""
    nodes = {node.name: node for node in graph_def.node}
    fixed: dict[str, bool] = {}
    for name in nodes:
        stack = [name]
        while stack:
            node = nodes[stack[-1]]
            if node.name in fixed:
                stack.pop()
                continue
            sources = [_node_name(source) for source in node.input]
            waiting = [source for source in sources if source not in fixed]
            if waiting:
                stack.extend(waiting)
                continue
            known = all(fixed[source] for source in sources)
            fixed[node.name] = node.op == "Const" if not sources else known
            stack.pop()
    return {name for name, known in fixed.items() if known}


def _end_of_batch_norm(nodes, readers, fixed: set[str], variance: str):
    """(last node of the normalisation that uses this variance, name of the tensor it normalises).

    Keras 2 writes one FusedBatchNormV3, Keras 3 a multiplication and an addition whose other
    operands are constant. None where the graph looks otherwise.
    """
    frontier, found = [variance], {}
    while frontier:
        for node in readers.get(frontier.pop(), []):
            if node.name in fixed:
                frontier.append(node.name)
            else:
                found[node.name] = node
    operations = sorted(node.op for node in found.values())
    if len(operations) == 1 and operations[0].startswith("FusedBatchNorm"):
        end = next(iter(found.values()))
        return end, end.input[0]
    if operations != ["AddV2", "Mul"]:
        return None
    shift, scale = sorted(found.values(), key=lambda node: node.op)
    sources = [name for name in scale.input if _node_name(name) not in fixed]
    shifted = [name for name in shift.input if _node_name(name) not in fixed]
    if len(sources) != 1 or [_node_name(name) for name in shifted] != [scale.name]:
        return None
    return shift, sources[0]


def _scale_and_shift(norm) -> tuple[np.ndarray, np.ndarray]:
    mean, variance = (np.asarray(w, np.float64) for w in (norm.moving_mean, norm.moving_variance))
    scale = 1.0 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * np.asarray(norm.gamma, np.float64)
    shift = -mean * scale
    if norm.center:
        shift = shift + np.asarray(norm.beta, np.float64)
    return scale, shift


def _set_constant(node, value: np.ndarray) -> None:
    dtype = tf.as_dtype(node.attr["dtype"].type)
    tensor = tf.make_tensor_proto(value.astype(dtype.as_numpy_dtype))
    node.attr["value"].tensor.CopyFrom(tensor)


def _bypass(node, source: str, readers: dict[str, list]) -> None:
    """Makes whoever reads the node's first output read `source` instead."""
    # An Identity in its place would keep the ReLU from being run together with the convolution.
    for reader in readers.get(node.name, []):
        for i, name in enumerate(reader.input):
            if name in (node.name, f"{node.name}:0"):
                reader.input[i] = source
        readers.setdefault(_node_name(source), []).append(reader)
