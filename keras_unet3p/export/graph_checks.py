"""What an exported graph checks before it computes: a server enforces none of it."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def provided(tensor: tf.Tensor, condition: tf.Tensor, *message: str | int | tf.Tensor) -> tf.Tensor:
    """`tensor` where the condition holds; else whatever reads it fails with the message."""
    with tf.control_dependencies([tf.debugging.Assert(condition, list(message))]):
        return tf.identity(tensor)


def checked_input(
    dtype: tf.DType, shape: Sequence[int | None], name: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """A placeholder, and what the graph may read of it: the same, if its shape is the declared one.

    TensorFlow Serving passes any shape on, and kernels that meet another rank than the graph was
    made for abort the process or answer nonsense.
    """
    placeholder = tf.compat.v1.placeholder(dtype, shape, name=name)
    return placeholder, tf.ensure_shape(placeholder, shape, name=f"{name}_checked")


def checked_pixels(images: tf.Tensor, max_pixels: int, max_batch_pixels: int) -> tf.Tensor:
    """Images (B, H, W, C), if each has 1 to `max_pixels` pixels, all 1 to `max_batch_pixels`.

    A few bytes can ask for any size: the protocol repeats one value for a whole tensor.
    """
    shape = tf.shape(images, out_type=tf.int64)
    batch, height, width = shape[0], shape[1], shape[2]
    images = provided(
        images,
        # By division, since a product may overflow.
        (height > 0) & (width > 0) & (height <= max_pixels // tf.maximum(width, 1)),
        "image must hold 1 to",
        max_pixels,
        "pixels; found height and width",
        height,
        width,
    )
    return provided(
        images,
        (batch > 0) & (batch <= max_batch_pixels // tf.maximum(height * width, 1)),
        "the images of a request must hold 1 to",
        max_batch_pixels,
        "pixels together; found batch, height and width",
        batch,
        height,
        width,
    )
