"""Inference without batch normalisation: its constants go into the convolutions before it."""

from __future__ import annotations

import keras
import numpy as np

from keras_unet3p.compat import register
from keras_unet3p.layers import UpsampleConv2D

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, UpsampleConv2D)


@register
class FoldedBatchNormalization(keras.layers.Layer):
    """Stands where a folded batch normalisation was: the identity."""

    def call(self, inputs, training=None, mask=None):
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """A copy of a functional model that computes the same at inference, in fewer steps.

    Every batch normalisation that directly follows a convolution with a bias is replaced by the
    identity, and the convolution's weights are scaled and shifted by its moving statistics. The
    results differ by float rounding only. The copy is for inference: trained further, it is another
    network.

    Args:
        model: of this package, or any other functional model.

    Returns:
        A model of the same class with layers of the same names; not compiled.
    """
    folds = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            convolution = _convolution_before(layer)
            if convolution is not None:
                folds[layer.name] = convolution.name
    convolutions = {name: model.get_layer(norm) for norm, name in folds.items()}

    def copy(layer):
        if layer.name in folds:
            dtype = layer.get_config()["dtype"]
            return FoldedBatchNormalization(name=layer.name, dtype=dtype)
        return type(layer).from_config(layer.get_config())

    folded = keras.models.clone_model(model, clone_function=copy)
    for layer in folded.layers:
        if layer.name in folds or not layer.weights:
            continue
        weights = model.get_layer(layer.name).get_weights()
        if layer.name in convolutions:
            weights = _folded(layer, weights, convolutions[layer.name])
        layer.set_weights(weights)
    return folded


def _convolution_before(norm):
    """The convolution with a bias whose only reader is `norm`, or None."""
    if norm.axis not in (-1, 3, [3], [-1]):
        return None
    layer = norm.input._keras_history[0]
    simple = (
        type(layer) in _CONVOLUTIONS
        and layer.use_bias
        and len(layer._outbound_nodes) == 1
        and getattr(layer, "activation", None) in (None, keras.activations.linear)
    )
    return layer if simple else None


def _folded(layer, weights, norm):
    kernel, bias = (weight.astype(np.float64) for weight in weights)
    statistics = dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"))
    for name in statistics:
        variable = getattr(norm, name)
        statistics[name] = None if variable is None else np.asarray(variable, np.float64)
    scale = 1 / np.sqrt(statistics["moving_variance"] + norm.epsilon)
    if statistics["gamma"] is not None:
        scale = scale * statistics["gamma"]
    bias = (bias - statistics["moving_mean"]) * scale
    if statistics["beta"] is not None:
        bias = bias + statistics["beta"]
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    kernel = kernel * (scale[:, None] if transposed else scale)
    return [kernel.astype(np.float32), bias.astype(np.float32)]
