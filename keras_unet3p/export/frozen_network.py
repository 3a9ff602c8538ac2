"""A network as a graph of constants, with batch normalisation folded into its convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from keras_unet3p.errors import InputError
from keras_unet3p.layers import PresenceGate
from keras_unet3p.layers.batch_norm_folding import foldable_pairs, folded_weights
from keras_unet3p.layers.non_finite_weights import non_finite_weights
from keras_unet3p.tiling.network_geometry import (
    network_function,
    resolve_activation,
    trace_network,
)

GRAPH_LIMIT = 2**31 - 1
"""Bytes that a serialized graph may have."""


def frozen_network(
    model: Any,
    size: tuple[int, int],
    channels: int,
    *,
    activation: str | None = "auto",
    skip_empty: bool = True,
) -> FrozenNetwork:
    """`model` for tiles (B, *size, channels) with the weights as constants.

    Where a convolution is followed by batch normalisation, the normalisation's scale is multiplied
    into the kernel and its shift added to the bias: the same function (to float rounding) in one
    step less, and the convolution, its bias and the ReLU then run as one kernel. TensorFlow's own
    graph optimizer does not do this for a convolution that has a bias.

    Args:
        model: a Keras model.
        size: height and width of a tile.
        channels: channels of a tile.
        activation: see `tiling.network_function`.
        skip_empty: where the model has a classification-guided module, what follows it is run only
            for tiles in which the module finds something; the mask of the others is known without.

    Raises:
        ValueError: if the weights exceed the 2 GB that a graph may hold, or are not finite.
    """
    size_of_weights = sum(int(np.prod(w.shape)) * 4 for w in model.weights)
    if size_of_weights > GRAPH_LIMIT:
        raise InputError(
            f"model must have less than 2 GB of weights to be exported as a frozen graph, found "
            f"{size_of_weights / 2**30:.2f} GiB"
        )
    not_finite = non_finite_weights(model)
    if not_finite:
        raise InputError(
            f"model must have weights that are finite numbers, found NaN or infinite ones in "
            f"{not_finite}: its training diverged; train it again with a smaller learning rate"
        )
    activation = resolve_activation(model, activation)
    gate = _presence_gate(model) if skip_empty else None
    if gate is not None and gate.activation != (
        activation or getattr(model, "classifier_activation", None)
    ):
        gate = None  # what the gate makes of an empty tile is known as a probability only
    network = network_function(model, activation)
    if gate is not None:
        network = _with_presence(model, gate, activation)
    traced = trace_network(network, size, channels)
    constants = {id(outer): inner.op.name for outer, inner in traced.graph.captures}
    frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    graph_def = frozen.graph.as_graph_def()
    for node in graph_def.node:
        node.attr.pop("_gradient_op_type", None)  # names a Python function of this process
    _fold(graph_def, model, constants)
    tile = frozen.inputs[0]
    if gate is None:
        return FrozenNetwork(graph_def, tile, frozen.outputs[0])
    # The gate is monotone in the presence logits, so these decide exactly as it does.
    mask, presence = frozen.outputs
    return SkippingNetwork(graph_def, tile, mask, presence, gate.activation)


class FrozenNetwork:
    """Tiles (B, h, w, C) -> probabilities (B, h', w', K); a call of one function in any graph.

    Attributes:
        graph_def: the whole network as a graph.
        input_name, output_name: its tensors.
        num_classes: K.
    """

    def __init__(self, graph_def, tile: tf.Tensor, output: tf.Tensor) -> None:
        self.graph_def = _ancestors(graph_def, [output.name])
        self.input_name, self.output_name = tile.name, output.name
        self._shape = tuple(int(side or 0) for side in output.shape.as_list()[1:])
        self.num_classes = self._shape[-1]
        self._run = _function(self.graph_def, [tile.name], [output.name])

    def rename_output(self, name: str) -> None:
        """Gives the output of `graph_def` another name."""
        node = self.graph_def.node.add(op="Identity", name=name, input=[self.output_name])
        node.attr["T"].type = tf.float32.as_datatype_enum
        self.output_name = f"{name}:0"

    def __call__(self, tiles: tf.Tensor) -> tf.Tensor:
        return self._shaped(self._run(tf.convert_to_tensor(tiles))[0])

    def _shaped(self, probabilities: tf.Tensor) -> tf.Tensor:
        probabilities.set_shape((None, *self._shape))
        return probabilities


class SkippingNetwork(FrozenNetwork):
    """A network whose decoder runs only for tiles in which its presence head finds something."""

    def __init__(self, graph_def, tile, output, presence, activation: str) -> None:
        super().__init__(graph_def, tile, output)
        first = _ancestors(graph_def, [presence.name])
        known = {node.name for node in first.node}
        fixed = _constant_nodes(graph_def)
        rest = tf.compat.v1.GraphDef()
        shared: dict[str, None] = {}  # an ordered set
        for node in self.graph_def.node:
            if node.name in known and node.name not in fixed:
                continue
            copy = rest.node.add()
            copy.CopyFrom(node)
            del copy.input[:]
            for name in node.input:
                if not name.startswith("^"):
                    copy.input.append(name)
                    if _node_name(name) in known - fixed:
                        shared[name if ":" in name else f"{name}:0"] = None
        tensors = [output.graph.get_tensor_by_name(name) for name in shared]
        for i, tensor in enumerate(tensors):
            place = rest.node.add(op="Placeholder", name=f"shared_{i}")
            place.attr["dtype"].type = tensor.dtype.as_datatype_enum
            place.attr["shape"].shape.CopyFrom(tensor.shape.as_proto())
        places = {name: f"shared_{i}" for i, name in enumerate(shared)}
        for node in rest.node:
            for i, name in enumerate(node.input):
                node.input[i] = places.get(name if ":" in name else f"{name}:0", name)
        places_in_order = [f"{place}:0" for place in places.values()]
        self._first = _function(first, [tile.name], [presence.name, *shared])
        self._rest = _function(_ancestors(rest, [output.name]), places_in_order, [output.name])
        self._tensor_shapes = [tensor.shape for tensor in tensors]
        self._activation = activation

    def __call__(self, tiles: tf.Tensor) -> tf.Tensor:
        tiles = tf.convert_to_tensor(tiles)
        presence, *shared = self._first(tiles)
        present = self._holds_something(presence)
        count = tf.shape(tiles)[0]
        nothing = self._nothing(count)

        def decode() -> tf.Tensor:
            if tiles.shape[0] == 1:
                return self._rest(*shared)[0]
            chosen = tf.where(present)
            picked = [tf.gather(tensor, chosen[:, 0]) for tensor in shared]
            return tf.tensor_scatter_nd_update(nothing, chosen, self._rest(*picked)[0])

        return self._shaped(tf.cond(tf.reduce_any(present), decode, lambda: nothing))

    def _holds_something(self, presence: tf.Tensor) -> tf.Tensor:
        if self.num_classes == 1 and presence.shape[-1] == 2:
            return presence[:, 1] - presence[:, 0] > 0
        if self._activation == "softmax":  # class 0 is the background, which no gate takes away
            presence = presence[:, 1:]
        return tf.reduce_any(presence > 0, axis=1)

    def _nothing(self, count: tf.Tensor) -> tf.Tensor:
        empty = np.zeros((1, *self._shape), np.float32)
        if self._activation == "softmax":
            empty[..., 0] = 1.0
        return tf.repeat(tf.constant(empty), count, axis=0)


def _presence_gate(model):
    """The layer that gates the model's final mask, or None."""
    gates = [layer for layer in getattr(model, "layers", []) if isinstance(layer, PresenceGate)]
    named = [gate for gate in gates if gate.name.endswith("mask_gate")]
    return named[0] if len(named) == 1 else None


def _with_presence(model, gate, activation) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    output = model.output["mask"] if isinstance(model.output, dict) else model.output
    both = keras.Model(model.inputs, [output, gate.input[1]])
    to_probabilities = network_function(lambda tensor: tensor, activation)

    def run(tiles: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        mask, presence = both(tiles, training=False)
        return to_probabilities(mask), presence

    return run


def _ancestors(graph_def, tensors: Sequence[str]):
    """The part of the graph that these tensors need."""
    nodes = {node.name: node for node in graph_def.node}
    needed: set[str] = set()
    waiting = [_node_name(name) for name in tensors]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting.extend(_node_name(source) for source in nodes[name].input)
    part = tf.compat.v1.GraphDef(versions=graph_def.versions, library=graph_def.library)
    part.node.extend(node for node in graph_def.node if node.name in needed)
    return part


def _function(graph_def, inputs: Sequence[str], outputs: Sequence[str]) -> Callable:
    wrapped = tf.compat.v1.wrap_function(
        lambda: tf.compat.v1.import_graph_def(graph_def, name=""), signature=[]
    )
    element = wrapped.graph.as_graph_element
    return wrapped.prune([element(name) for name in inputs], [element(name) for name in outputs])


def _fold(graph_def, model, constants: dict[int, str]) -> None:
    nodes = {node.name: node for node in graph_def.node}
    readers = _readers(graph_def)
    fixed = _constant_nodes(graph_def)
    for convolution, norm in foldable_pairs(model):
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
        for name, value in zip(names, folded_weights(convolution, norm), strict=True):
            _set_constant(nodes[name], value)
        _bypass(normalised, source, readers)


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
