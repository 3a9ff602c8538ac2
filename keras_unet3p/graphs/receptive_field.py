"""How far a network looks, read from its graph."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import tensorflow as tf

from keras_unet3p import compat
from keras_unet3p.errors import InputError
from keras_unet3p.geometry import NetworkFacts
from keras_unet3p.graphs.network import Network
from keras_unet3p.graphs.network_geometry import (
    REFUSALS,
    network_facts,
    network_function,
    trace_network,
)

# What stops a gradient is replaced by an operation of the same reach that does not.
_PASSED_ON = frozenset(
    (
        "Relu",
        "Relu6",
        "Elu",
        "Selu",
        "LeakyRelu",
        "Softplus",
        "Softsign",
        "Sigmoid",
        "Tanh",
        "Softmax",
        "LogSoftmax",
        "Abs",
    )
)
_SUMMED = {"Maximum": (0, 1), "Minimum": (0, 1), "SelectV2": (1, 2), "Select": (1, 2)}
_LARGEST_PROBE = 4096
_HALOS: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def exact_halo(model: Network) -> int:
    """Pixels of context on each side of a tile that make its core independent of what lies beyond.

    Found once for each model.

    With this halo, tiles give what the whole image would give. It is found from the support of a
    gradient: in a copy of the network everything that can stop a gradient (ReLU, maximum) is
    replaced by what passes it on, so that the gradient of one period of output pixels is nonzero at
    exactly those input pixels that can have any influence. Gates that decide (a comparison, as in
    the classification-guided module) pass none and do not count: their statement is about the tile.

    Args:
        model: a Keras model of one image input, of any input size.

    Returns:
        The halo in pixels, a multiple of the network's stride above its margin.

    Raises:
        ValueError: if the model takes one size only and looks farther than that, or looks at the
            whole image whatever its size.

    Example:
        >>> image = keras.Input((None, None, 1))
        >>> x = keras.layers.Conv2D(2, 3, padding="same")(image)
        >>> ku.graphs.exact_halo(keras.Model(image, keras.layers.Conv2D(1, 5, padding="same")(x)))
        3
    """
    found = _HALOS.get(model)
    if found is None:
        found = _HALOS[model] = _exact_halo(network_function(model), network_facts(model))
    return found


def _exact_halo(network, facts: NetworkFacts) -> int:
    fixed = facts.fixed_size
    side = 256
    while True:
        reaches = []
        for axis in (0, 1):
            size, traced = _probe(network, facts, side, axis)
            reach = _reach(*_gradient_passing_copy(traced), size, facts, axis)
            reaches.append(reach and _smallest_halo(*reach, size[axis], facts))
        if None not in reaches:
            return max(reaches)
        if fixed:
            raise InputError(
                f"model takes images of {fixed[0]}x{fixed[1]} pixels only and looks at all of "
                f"them: no halo makes its tiles independent of their border"
            )
        side *= 2
        if side > _LARGEST_PROBE:
            raise InputError(
                f"model looks farther than {_LARGEST_PROBE // 4} pixels (it normalises or pools "
                f"over the whole image): no halo makes its tiles independent of their border"
            )


def _probe(network, facts: NetworkFacts, side: int, axis: int):
    """A strip that is long along `axis` and as narrow as the network takes, and its function."""
    if facts.fixed_size:
        return facts.fixed_size, trace_network(network, facts.fixed_size, facts.channels)
    length = facts.at_least(side)
    problem: Exception | None = None
    for width in (facts.minimum, 32, 128, 256, side):
        width = facts.at_least(width)
        size = (length, width) if axis == 0 else (width, length)
        try:
            return size, trace_network(network, size, facts.channels)
        except REFUSALS as error:  # of a network that does not say how small it can be
            problem = error
    raise InputError(f"the model takes no image of about {side} pixels: {problem}") from problem


def _gradient_passing_copy(traced) -> tuple[Any, tuple[str, str]]:
    frozen = compat.with_constants(traced)
    graph_def = frozen.graph.as_graph_def()
    weights = {inner.op.name for _, inner in traced.graph.captures}
    for node in graph_def.node:
        if node.op == "Const" and node.name in weights:
            # Weights that begin at zero, as those of some last layers do, will not stay there.
            value = tf.make_ndarray(node.attr["value"].tensor)
            value = np.where(value == 0, np.asarray(0.01, value.dtype), value)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        # A gradient that a layer defines by itself belongs to the graph it was made in.
        node.attr.pop("_gradient_op_type", None)
        if node.op in _PASSED_ON:
            _become(node, "Identity", [node.input[0]], ["T"])
        elif node.op in _SUMMED:
            _become(node, "AddV2", [node.input[i] for i in _SUMMED[node.op]], ["T"])
        elif node.op == "MaxPool":
            kept = ["T", "ksize", "strides", "padding", "data_format"]
            _become(node, "AvgPool", [node.input[0]], kept)
    return graph_def, (frozen.inputs[0].name, frozen.outputs[0].name)


def _become(node, op: str, inputs: list[str], kept: list[str]) -> None:
    node.op = op
    del node.input[:]
    node.input.extend(inputs)
    for key in list(node.attr):
        if key not in kept:
            del node.attr[key]


def _smallest_halo(before: int, after: int, side: int, facts: NetworkFacts) -> int:
    halo, stride = facts.margin, facts.grid
    # A side that is not a multiple of the stride leaves some pixels more at the tile's end.
    while before > halo or after > halo + (side - 2 * halo) % stride:
        halo += stride
    return halo


def _reach(graph_def, names, size, facts: NetworkFacts, axis: int):
    """Pixels before and after one period of output pixels that have influence on it.

    None if those at the input's border have: then it was too small to tell.
    """
    channels, margin, stride = facts.channels, facts.margin, facts.grid
    length = size[axis] - 2 * margin
    start = length // 2 // stride * stride
    with tf.Graph().as_default():
        image = tf.compat.v1.placeholder(tf.float32, (1, *size, channels))
        (output,) = tf.graph_util.import_graph_def(
            graph_def, input_map={names[0]: image}, return_elements=[names[1]], name=""
        )
        stop = min(start + stride, length)
        period = output[:, start:stop] if axis == 0 else output[:, :, start:stop]
        (gradient,) = tf.gradients(tf.reduce_sum(period), image)
        noise = np.random.default_rng(0).random((1, *size, channels), np.float32)
        with tf.compat.v1.Session() as session:
            found = session.run(gradient, {image: noise})
    others = tuple(i for i in range(4) if i != axis + 1)
    touched = np.flatnonzero((found != 0).any(axis=others))
    first, last = int(touched[0]), int(touched[-1])
    if first == 0 or last == size[axis] - 1:
        return None
    return margin + start - first, last - (margin + stop - 1)
