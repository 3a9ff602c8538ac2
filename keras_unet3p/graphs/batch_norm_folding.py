"""Inference without batch normalisation: its constants go into the convolutions before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p import compat
from keras_unet3p.graphs.nodes import (
    bypass,
    constant_nodes,
    node_name,
    nodes_by_name,
    readers_by_name,
    set_constant,
)
from keras_unet3p.layers import BatchNormalization, FoldedBatchNormalization, UpsampleConv2D


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """A copy of a functional model that computes the same at inference, in fewer steps.

    Every batch normalisation that directly follows a convolution with a bias is replaced by the
    identity, and the convolution's weights are scaled and shifted by its moving statistics; in
    models within the model as well. The results differ by float rounding only. The copy is for
    inference: trained further, it is another network.

    Args:
        model: of this package, or any other functional model.

    Returns:
        A model of the same class with layers of the same names; not compiled.

    Example:
        >>> import keras
        >>> image = keras.Input((None, None, 1))
        >>> x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(image))
        >>> folded = fold_batch_norm(keras.Model(image, x))
        >>> [type(layer).__name__ for layer in folded.layers]
        ['InputLayer', 'Conv2D', 'FoldedBatchNormalization']
    """
    weights: dict[int, list[Any]] = {}
    for convolution, norm in foldable_pairs(model):
        weights[id(convolution)] = list(folded_weights(convolution, norm))
        weights[id(norm)] = []
    return _folded_copy(model, weights)


def _folded_copy(model: Any, weights: Mapping[int, list[Any]]) -> Any:
    """A copy of a model in which the layers with these ids have these weights."""

    def copy(layer: Any) -> Any:
        if weights.get(id(layer)) == []:
            dtype = layer.get_config()["dtype"]
            return FoldedBatchNormalization(name=layer.name, dtype=dtype)
        if any(id(inner) in weights for inner in _inner_layers(layer)):
            return _folded_copy(layer, weights)
        return type(layer).from_config(layer.get_config())

    folded = keras.models.clone_model(model, clone_function=copy)
    for layer in model.layers:
        if layer.weights and not any(id(inner) in weights for inner in _inner_layers(layer)):
            folded.get_layer(layer.name).set_weights(weights.get(id(layer), layer.get_weights()))
    if hasattr(model, "blueprint"):
        folded.blueprint = model.blueprint
    return folded


def _inner_layers(layer: Any) -> Iterator[Any]:
    """The layers of a model within a model, at any depth."""
    if isinstance(layer, keras.Model):
        for inner in layer.layers:
            yield inner
            yield from _inner_layers(inner)


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
    norms = (keras.layers.BatchNormalization, BatchNormalization)
    kinds = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, UpsampleConv2D)
    for norm in layers:
        if type(norm) not in norms or norm.axis not in (-1, 3, [3]):
            continue
        source = _single(norm, "input")
        layer = producers.get(id(source)) if source is not None else None
        if layer is None or type(layer) not in kinds or layer.bias is None:
            continue
        linear = getattr(layer, "activation", None) in (None, keras.activations.linear)
        # Nodes count every reader: layers, nested models, and operations that are no layers.
        if linear and compat.is_read_once(layer) and id(source) not in outputs:
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


def fold_in_graph(graph_def: Any, model: Any, constants: Mapping[int, str]) -> None:
    """Folds the batch normalisations of a model in the frozen graph that was made of it.

    Args:
        graph_def: is changed in place; what cannot be found in it stays as it is.
        model: the Keras model.
        constants: id of a variable's handle -> name of the node that holds its value.
    """
    nodes = nodes_by_name(graph_def)
    readers = readers_by_name(graph_def)
    fixed = constant_nodes(graph_def)
    for convolution, norm in foldable_pairs(model):
        variables = (convolution.kernel, convolution.bias, norm.moving_variance)
        *names, statistics = (_constant_name(variable, constants) for variable in variables)
        if statistics is None or any(name not in nodes for name in names):
            continue
        end = _end_of_batch_norm(nodes, readers, fixed, statistics)
        if end is None:
            continue
        normalised, source = end
        if not readers.get(normalised.name):
            continue
        for name, value in zip(names, folded_weights(convolution, norm), strict=True):
            set_constant(nodes[str(name)], value)
        bypass(normalised, source, readers)


def _constant_name(variable, constants: Mapping[int, str]) -> str | None:
    value = getattr(variable, "value", variable)
    variable = variable if callable(value) else value
    handle = getattr(variable, "handle", None)
    return constants.get(id(handle))


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
    sources = [name for name in scale.input if node_name(name) not in fixed]
    shifted = [name for name in shift.input if node_name(name) not in fixed]
    if len(sources) != 1 or [node_name(name) for name in shifted] != [scale.name]:
        return None
    return shift, sources[0]
