"""From a Keras model to a graph of constants, with its batch normalisations folded."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p import compat
from keras_unet3p.errors import InputError
from keras_unet3p.graphs.batch_norm_folding import fold_in_graph
from keras_unet3p.graphs.frozen_network import FrozenNetwork
from keras_unet3p.graphs.network import Network
from keras_unet3p.graphs.network_geometry import (
    network_function,
    resolve_activation,
    trace_network,
)
from keras_unet3p.graphs.skipping_network import SkippingNetwork
from keras_unet3p.layers import PresenceGate
from keras_unet3p.layers.intensity_normalization import images_are_stretched
from keras_unet3p.layers.weight_values import non_finite_weights

GRAPH_LIMIT = 2**31 - 1
"""Bytes that a serialized graph may have."""


def freeze_network(
    model: Network,
    size: tuple[int | None, int | None],
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
        size: height and width of a tile; None where they are left open, for a network that takes
            any.
        channels: channels of a tile.
        activation: see `graphs.network_function`.
        skip_empty: where the model has a classification-guided module, what follows it is run only
            for tiles in which the module finds something; the mask of the others is known without.

    Raises:
        ValueError: if the weights exceed the 2 GB that a graph may hold, or are not finite.

    Example:
        >>> model = ku.models.unet(filters=4, depth=1, batch_norm=True)
        >>> network = ku.graphs.freeze_network(model, (32, 32), channels=1)
        >>> tiles = np.zeros((2, 32, 32, 1), np.float32)
        >>> np.allclose(network(tiles), model(tiles), atol=1e-5)
        True
    """
    size_of_weights = sum(int(np.prod(w.shape)) * 4 for w in model.weights)
    if size_of_weights > GRAPH_LIMIT:
        raise InputError(
            f"model must have less than 2 GB of weights to be exported as a frozen graph, found "
            f"{size_of_weights / 2**30:.2f} GiB"
        )
    not_finite = non_finite_weights(cast(keras.Model, model))
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
    frozen = compat.with_constants(traced)
    graph_def = frozen.graph.as_graph_def()
    for node in graph_def.node:
        node.attr.pop("_gradient_op_type", None)  # names a Python function of this process
    fold_in_graph(graph_def, model, constants)
    tile = frozen.inputs[0]
    if gate is None:
        return FrozenNetwork(graph_def, tile, frozen.outputs[0])
    # The gate is monotone in the presence logits, so these decide exactly as it does.
    mask, presence = frozen.outputs
    return SkippingNetwork(graph_def, tile, mask, presence, gate.activation)


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
        with images_are_stretched(model):
            mask, presence = both(tiles, training=False)
        return to_probabilities(mask), presence

    return run
