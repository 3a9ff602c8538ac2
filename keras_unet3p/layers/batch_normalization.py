"""Batch normalisation that trains in one fused operation on both Keras versions."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_unet3p import compat

_FUSED = (tf.float32, tf.bfloat16, tf.float16)


@compat.register
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, whose training step is one fused operation.

    Keras 2 has it so. Keras 3 makes the step of a dozen operations, each of which reads and writes
    the whole map, and of a map of half precision a copy in float32 before; here the statistics are
    as exact (they are computed in float32), and the map keeps its type. What it gives, its weights
    and its configuration are those of Keras; of synchronised statistics, masks, other axes than the
    last of four and in inference Keras's own operations are taken.

    Example:
        >>> normalize = ku.layers.BatchNormalization(epsilon=0.0)
        >>> image = np.float32([1.0, 3.0]).reshape(1, 1, 2, 1)
        >>> normalize(image, training=True).numpy().ravel().tolist()
        [-1.0, 1.0]
        >>> float(normalize.moving_mean[0])  # momentum 0.99
        0.019999...
    """

    def call(self, inputs, training=None, mask=None):
        learns = compat.KERAS_3 and training and self.trainable
        if not learns or mask is not None or not self._can_be_fused(inputs):
            return super().call(inputs, training=training, mask=mask)
        moving_mean: Any = self.moving_mean
        moving_variance: Any = self.moving_variance
        ones = tf.ones(moving_mean.shape)
        normalized, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(self.gamma, tf.float32) if self.scale else ones,
            offset=tf.cast(self.beta, tf.float32) if self.center else tf.zeros_like(ones),
            mean=tf.zeros((0,)),  # of training: none before
            variance=tf.zeros((0,)),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The operation gives the variance of a sample, n - 1 in its denominator; Keras keeps n.
        pixels = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        variance = variance * ((pixels - 1.0) / pixels)
        for moving, value in ((moving_mean, mean), (moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        return normalized

    def _can_be_fused(self, inputs) -> bool:
        is_map = len(inputs.shape) == 4 and self.axis in (-1, 3) and inputs.dtype in _FUSED
        return is_map and not self.synchronized and not self.renorm
