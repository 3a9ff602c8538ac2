"""The differences between Keras 3 (TensorFlow 2.16 and later) and Keras 2 (TensorFlow 2.15).

Everything else in the package is written once: `import keras` and TensorFlow operations only.
"""

from __future__ import annotations

import keras
import tensorflow as tf

KERAS_3 = int(keras.__version__.split(".")[0]) >= 3

register = keras.saving.register_keras_serializable(package="keras_unet3p")
"""Class decorator: makes a class loadable from `.keras` files without `custom_objects`."""


def scale_loss_for_distribution(loss):
    """Divide a loss by the number of replicas where the Keras at hand wants the loss to do so.

    Gradients are summed over replicas. In Keras 3 a `keras.losses.Loss` itself divides by their
    number; in Keras 2 `Model.compute_loss` does.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if KERAS_3 and replicas > 1:
        return loss / tf.cast(replicas, loss.dtype)
    return loss
