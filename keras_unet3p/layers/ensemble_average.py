"""The mean of the probabilities of several networks."""

from __future__ import annotations

import tensorflow as tf

from keras_unet3p.compat import register
from keras_unet3p.layers.segmentation_output import SegmentationOutput


@register
class EnsembleAverage(SegmentationOutput):
    """Averages masks that are probabilities already; `activation` tells what made them.

    (`SegmentationAverage` takes logits, which a member with several heads does not have.)

    Input: a list of probabilities (B, H, W, K). Output: (B, H, W, K), float32.

    Example:
        >>> average = ku.layers.EnsembleAverage("sigmoid")
        >>> average([np.zeros((1, 1, 1, 1)), np.ones((1, 1, 1, 1))]).numpy().ravel().tolist()
        [0.5]
    """

    def call(self, inputs):
        return tf.add_n(inputs) / len(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape[0]
