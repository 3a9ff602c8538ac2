"""What a loss sees: masks, predictions and weights of one batch in one canonical form."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from keras_unet3p.errors import InputError
from keras_unet3p.targets.masks import mask_with_channels, per_class_maps
from keras_unet3p.targets.sample_weights import split_sample_weight

EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1 before a logarithm is taken."""


class Batch(NamedTuple):
    """Canonical tensors of one batch, of one dtype; B images of H x W pixels and K channels.

    truth: (B, H, W, K) in [0, 1], zero on ignored pixels.
    probabilities: (B, H, W, K) in [0, 1].
    logits: (B, H, W, K), or None where the prediction came as probabilities.
    exclusive: whether the channels are the classes of a softmax (one class a pixel).
    valid: (B, H, W, 1), 0 on ignored pixels and 1 elsewhere, or None where all pixels count.
    pixel_weights: (B, H, W, 1) or None.
    image_weights: (B,), a scalar, or None.
    poison: scalar, 0 for masks and weights in range and NaN for others (see `poison_unless`).
    """

    truth: tf.Tensor
    probabilities: tf.Tensor
    logits: tf.Tensor | None
    exclusive: bool
    valid: tf.Tensor | None
    pixel_weights: tf.Tensor | None
    image_weights: tf.Tensor | None
    poison: tf.Tensor

    @property
    def num_classes(self) -> int:
        channels = self.probabilities.shape[-1]
        assert channels is not None  # `mask_with_channels` has seen to it.
        return channels


def make_batch(
    y_true: Any,
    y_pred: Any,
    sample_weight=None,
    *,
    from_logits: bool = False,
    multi_label: bool = False,
    ignore_class: int | None = None,
    dtype=tf.float32,
) -> Batch:
    """Checks and converts what Keras passes to a loss. Raises ValueError naming the shapes."""
    y_pred = tf.convert_to_tensor(y_pred)
    y_true = mask_with_channels(tf.convert_to_tensor(y_true), y_pred)
    num_classes = int(y_pred.shape[-1])
    exclusive = num_classes > 1 and not multi_label

    prediction = _cast(y_pred, dtype)
    if from_logits:
        logits = prediction
        probabilities = tf.nn.softmax(logits) if exclusive else tf.math.sigmoid(logits)
    else:
        logits = None
        probabilities = prediction
        _check_probabilities(y_pred)

    truth, valid, mask_poison = per_class_maps(y_true, num_classes, ignore_class, dtype)
    pixel_weights, image_weights, weight_poison = split_sample_weight(sample_weight, y_pred, dtype)
    return Batch(
        truth,
        probabilities,
        logits,
        exclusive,
        valid,
        pixel_weights,
        image_weights,
        tf.cast(mask_poison + weight_poison, dtype),
    )


def _cast(values, dtype) -> Any:
    """Cast whose gradient stays within float16, where that of a logarithm can leave it."""

    @tf.custom_gradient
    def cast(values) -> Any:
        def gradient(upstream):
            return tf.saturate_cast(upstream, values.dtype)

        return tf.cast(values, dtype), gradient

    return cast(values)


def _check_probabilities(y_pred) -> None:
    if not tf.executing_eagerly():
        return
    lowest, highest = float(tf.reduce_min(y_pred)), float(tf.reduce_max(y_pred))
    if lowest < -1e-3 or highest > 1.0 + 1e-3:
        raise InputError(
            f"y_pred must hold probabilities in [0, 1]; received values from {lowest:g} to "
            f"{highest:g}. Pass from_logits=True for the raw scores of a network without a final "
            "activation."
        )
