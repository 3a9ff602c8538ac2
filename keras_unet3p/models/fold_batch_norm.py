"""Inference without batch normalisation: its constants go into the convolutions before it."""

from __future__ import annotations

import keras

from keras_unet3p.compat import register
from keras_unet3p.layers.batch_norm_folding import foldable_pairs, folded_weights
from keras_unet3p.models.segmentation_model import SegmentationModel


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
    own = {id(layer) for layer in model.layers}
    pairs = [pair for pair in foldable_pairs(model) if own >= {id(layer) for layer in pair}]
    folded_norms = {norm.name for _, norm in pairs}
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    for convolution, norm in pairs:
        weights[convolution.name] = list(folded_weights(convolution, norm))
        weights[norm.name] = []

    def copy(layer):
        if layer.name in folded_norms:
            dtype = layer.get_config()["dtype"]
            return FoldedBatchNormalization(name=layer.name, dtype=dtype)
        return type(layer).from_config(layer.get_config())

    folded = keras.models.clone_model(model, clone_function=copy)
    for layer in folded.layers:
        if layer.weights:
            layer.set_weights(weights[layer.name])
    if isinstance(model, SegmentationModel):
        folded.blueprint = model.blueprint
    return folded
