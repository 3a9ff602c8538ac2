"""Checks of inputs inside an exported graph; servers do not make them."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def provided(tensor: tf.Tensor, condition: tf.Tensor, *message: str | int | tf.Tensor) -> tf.Tensor:
    """Return `tensor` if the condition holds; otherwise reading it fails with the message."""
    with tf.control_dependencies([tf.debugging.Assert(condition, list(message))]):
        return tf.identity(tensor)


def checked_input(
    dtype: tf.DType, shape: Sequence[int | None], name: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a placeholder, and its value with the check that the shape is the declared one.

    TensorFlow Serving accepts any shape. Kernels that get a tensor of unexpected rank abort the
    process or return wrong results.
    """
    placeholder = tf.compat.v1.placeholder(dtype, shape, name=name)
    return placeholder, tf.ensure_shape(placeholder, shape, name=f"{name}_checked")


def checked_pixels(images: tf.Tensor, max_pixels: int, max_batch_pixels: int) -> tf.Tensor:
    """Return images (B, H, W, C) if each has 1 to `max_pixels` pixels, all 1 to `max_batch_pixels`.

    A request of a few bytes can claim any size, because one value may fill a whole tensor.
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
