"""The receptive field of a network, computed from its graph."""

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

# Operations that can stop a gradient are replaced by ones with the same reach that cannot.
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
    """Return the pixels of context per side with which tiles equal the whole image.

    It is computed once per model, from a gradient. In a copy of the network all operations that can
    stop a gradient (ReLU, maximum) are replaced by ones that pass it on. Then the gradient of one
    period of output pixels is nonzero at exactly the input pixels that can influence them. Gates
    that compare (as in the classification-guided module) have no gradient and do not count; they
    decide for each tile separately.

    Args:
        model: a Keras model with one image input.

    Returns:
        The halo in pixels: the network's margin plus a multiple of its stride.

    Raises:
        ValueError: if the model takes one size only and its receptive field is larger, or if every
            output pixel depends on the whole image.

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
                f"model takes images of {fixed[0]}x{fixed[1]} pixels only, and all of them "
                f"influence its output: no halo makes its tiles independent of their border"
            )
        side *= 2
        if side > _LARGEST_PROBE:
            raise InputError(
                f"model has a receptive field of more than {_LARGEST_PROBE // 4} pixels per side "
                f"(it normalises or pools over the whole image): no halo makes its tiles "
                f"independent of their border"
            )


def _probe(network, facts: NetworkFacts, side: int, axis: int):
    """A strip, long along `axis` and as narrow as the network takes, and its traced function."""
    if facts.fixed_size:
        return facts.fixed_size, trace_network(network, facts.fixed_size, facts.channels)
    length = facts.at_least(side)
    problem: Exception | None = None
    for width in (facts.minimum, 32, 128, 256, side):
        width = facts.at_least(width)
        size = (length, width) if axis == 0 else (width, length)
        try:
            return size, trace_network(network, size, facts.channels)
        except REFUSALS as error:  # the network does not tell its smallest size
            problem = error
    raise InputError(f"the model takes no image of about {side} pixels: {problem}") from problem


def _gradient_passing_copy(traced) -> tuple[Any, tuple[str, str]]:
    frozen = compat.with_constants(traced)
    graph_def = frozen.graph.as_graph_def()
    weights = {inner.op.name for _, inner in traced.graph.captures}
    for node in graph_def.node:
        if node.op == "Const" and node.name in weights:
            # Some layers have weights that are zero before training.
            value = tf.make_ndarray(node.attr["value"].tensor)
            value = np.where(value == 0, np.asarray(0.01, value.dtype), value)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        # A custom gradient belongs to the graph in which it was made.
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
    # If a side is not a multiple of the stride, some pixels more remain at the end of the tile.
    while before > halo or after > halo + (side - 2 * halo) % stride:
        halo += stride
    return halo


def _reach(graph_def, names, size, facts: NetworkFacts, axis: int):
    """How many pixels before and after one period of output pixels influence it.

    None if a pixel at the border of the input does: then the input was too small.
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
