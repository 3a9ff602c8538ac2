"""Values that cannot be right: refused where possible, and never quietly used."""

from __future__ import annotations

import tensorflow as tf

from keras_unet3p.errors import InputError


def poison_unless(right, message: str, values):
    """Scalar float32: 0 where `right` holds, NaN where not; eagerly a ValueError instead.

    A graph asserts. XLA drops assertions; what the poison is added to is NaN there, instead of
    quietly wrong.

    Args:
        right: scalar bool.
        message: what is accepted.
        values: those looked at, a few of which an eager error shows.

    Raises:
        ValueError: Eagerly, where `right` does not hold.

    Example:
        >>> weights = tf.constant([1.0, 2.0])
        >>> float(poison_unless(tf.reduce_all(weights >= 0.0), "Weights are at least 0.", weights))
        0.0
    """
    if not tf.executing_eagerly():
        tf.debugging.Assert(right, [message])
        return tf.where(right, 0.0, float("nan"))
    if not bool(right):
        found = tf.unique(tf.reshape(values, [-1]))[0].numpy()[:8]
        raise InputError(f"{message} Received values such as {sorted(found.tolist())}.")
    return tf.zeros([])
