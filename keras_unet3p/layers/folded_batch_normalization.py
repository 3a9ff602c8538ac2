"""What is left of a batch normalisation whose constants went into a convolution."""

from __future__ import annotations

import keras

from keras_unet3p.compat import register


@register
class FoldedBatchNormalization(keras.layers.Layer):
    """Stands where a folded batch normalisation was: the identity. See `graphs.fold_batch_norm`.

    Example:
        >>> import numpy as np
        >>> float(FoldedBatchNormalization()(np.array([[2.5]]))[0, 0])
        2.5
    """

    def call(self, inputs, training=None, mask=None):
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape
