"""Whether a network can compute anything: one whose training diverged is made of NaN."""

from __future__ import annotations

import keras
import tensorflow as tf


def non_finite_weights(model: keras.Model) -> str | None:
    """Name the first weights that hold NaN or infinite values, and say how many do.

    Returns:
        "conv2d/kernel, 12 of 432 values", or None where all weights are finite.
    """
    for weight in model.weights:
        value = tf.convert_to_tensor(weight)
        if not value.dtype.is_floating:
            continue
        finite = int(tf.math.count_nonzero(tf.math.is_finite(value)))
        if finite < (size := int(tf.size(value))):
            name = getattr(weight, "path", weight.name)
            return f"{name}, {size - finite} of {size} values"
    return None
