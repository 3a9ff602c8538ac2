"""Take off what `PadToMultiple` has put on."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_unet3p.compat import register


@register
class CropTo(keras.layers.Layer):
    """Keeps the top left of the first of two maps, as high and wide as the second.

    Input: [(B, H, W, C), (B, h, w, D)] with h <= H and w <= W. Output: (B, h, w, C).

    Example:
        >>> large, small = np.zeros((1, 8, 8, 3)), np.zeros((1, 5, 6, 1))
        >>> tuple(ku.layers.CropTo()([large, small]).shape)
        (1, 5, 6, 3)
    """

    def call(self, inputs):
        large, small = inputs
        size = tf.shape(small)
        cropped = large[:, : size[1], : size[2]]
        cropped.set_shape((large.shape[0], small.shape[1], small.shape[2], large.shape[3]))
        return cropped

    def compute_output_shape(self, input_shape):
        large, small = input_shape
        return (large[0], small[1], small[2], large[3])
