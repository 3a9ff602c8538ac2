"""Cut the middle out of a feature map so that it fits a smaller one."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_unet3p.compat import register


@register
class CenterCrop(keras.layers.Layer):
    """Crops the first of two maps to the height and width of the second, around the centre.

    Where the difference is odd, the pixel more is taken from the bottom and the right.

    Input: [(B, H, W, C), (B, h, w, D)] with h <= H and w <= W. Output: (B, h, w, C).

    Example:
        >>> large, small = np.zeros((1, 8, 8, 3)), np.zeros((1, 4, 6, 5))
        >>> tuple(ku.layers.CenterCrop()([large, small]).shape)
        (1, 4, 6, 3)
    """

    def call(self, inputs):
        large, small = inputs
        height, width = _size(small)
        large_height, large_width = _size(large)
        top = (large_height - height) // 2
        left = (large_width - width) // 2
        return large[:, top : top + height, left : left + width, :]

    def compute_output_shape(self, input_shape):
        large, small = input_shape
        return (large[0], small[1], small[2], large[3])


def _size(x):
    dynamic = tf.shape(x)
    return tuple(dynamic[axis] if x.shape[axis] is None else x.shape[axis] for axis in (1, 2))
