"""The mean of several heads' masks."""

from __future__ import annotations

import tensorflow as tf

from keras_unet3p.compat import register
from keras_unet3p.layers.segmentation_output import SegmentationOutput


@register
class SegmentationAverage(SegmentationOutput):
    """Averages the probabilities of several heads (UNet++'s accurate mode).

    Without an activation the logits are averaged.

    Input: a list of logits (B, H, W, K). Output: (B, H, W, K).

    Example:
        >>> average = ku.layers.SegmentationAverage("sigmoid")
        >>> average([np.zeros((1, 1, 1, 1)), np.zeros((1, 1, 1, 1))]).numpy().ravel().tolist()
        [0.5]
    """

    def call(self, inputs):
        masks = [super(SegmentationAverage, self).call(logits) for logits in inputs]
        return tf.add_n(masks) / len(masks)

    def compute_output_shape(self, input_shape):
        return input_shape[0]
