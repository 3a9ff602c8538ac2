"""What a loss sees: masks, predictions and weights of one batch in one canonical form."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1 before a logarithm is taken."""


class Batch(NamedTuple):
    """Canonical float32 tensors of one batch; B images of H x W pixels and K channels.

    truth: (B, H, W, K) in [0, 1], zero on ignored pixels.
    probabilities: (B, H, W, K) in [0, 1].
    logits: (B, H, W, K), or None where the prediction came as probabilities.
    exclusive: whether the channels are the classes of a softmax (one class a pixel).
    valid: (B, H, W, 1), 0 on ignored pixels and 1 elsewhere, or None where all pixels count.
    pixel_weights: (B, H, W, 1) or None.
    image_weights: (B,), a scalar, or None.
    poison: scalar, 0 for masks in range and NaN for others (see `checked_mask`).
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
        assert channels is not None  # `check_shapes` has seen to it.
        return channels


def make_batch(
    y_true: Any,
    y_pred: Any,
    sample_weight=None,
    *,
    from_logits: bool = False,
    multi_label: bool = False,
    ignore_class: int | None = None,
) -> Batch:
    """Checks and converts what Keras passes to a loss. Raises ValueError naming the shapes."""
    y_pred = tf.convert_to_tensor(y_pred)
    y_true = tf.convert_to_tensor(y_true)
    y_true = with_channel_axis(y_true, y_pred)
    check_shapes(y_true, y_pred)
    num_classes = int(y_pred.shape[-1])
    exclusive = num_classes > 1 and not multi_label

    prediction = _as_float32(y_pred)
    if from_logits:
        logits = prediction
        probabilities = tf.nn.softmax(logits) if exclusive else tf.math.sigmoid(logits)
    else:
        logits = None
        probabilities = prediction
        _check_probabilities(y_pred)

    truth, valid, poison = checked_mask(y_true, num_classes, ignore_class)
    pixel_weights, image_weights = split_sample_weight(sample_weight, y_pred)
    return Batch(
        truth, probabilities, logits, exclusive, valid, pixel_weights, image_weights, poison
    )


@tf.custom_gradient
def _as_float32(values) -> Any:
    """Cast whose gradient stays within float16, where that of a logarithm can leave it."""

    def gradient(upstream):
        return tf.saturate_cast(upstream, values.dtype)

    return tf.cast(values, tf.float32), gradient


def with_channel_axis(y_true, y_pred):
    """(B, H, W) -> (B, H, W, 1); other ranks pass."""
    if y_true.shape.rank is None and y_pred.shape.rank == 4 and y_pred.shape[-1] == 1:
        # A Python generator without a signature loses its shapes; with one channel both accepted
        # shapes hold the same values.
        return tf.reshape(y_true, tf.shape(y_pred))
    if y_true.shape.rank == 3:
        return tf.expand_dims(y_true, -1)
    return y_true


def check_shapes(y_true, y_pred) -> None:
    """Raises ValueError where the static shapes of mask and prediction cannot belong together."""
    shapes = f"mask {_shape(y_true)}, prediction {_shape(y_pred)}"
    if y_pred.shape.rank != 4 or y_pred.shape[-1] is None:
        raise ValueError(
            "y_pred must be (batch, height, width, classes) with a known number of classes; "
            f"received {shapes}."
        )
    if y_true.shape.rank != 4:
        raise ValueError(
            "y_true must be (batch, height, width), (batch, height, width, 1) or "
            f"(batch, height, width, classes); received {shapes}."
        )
    for axis, name in ((0, "batch size"), (1, "height"), (2, "width")):
        ours, theirs = y_true.shape[axis], y_pred.shape[axis]
        if ours is not None and theirs is not None and ours != theirs:
            raise ValueError(
                f"y_true and y_pred differ in {name}, {ours} against {theirs}; received {shapes}. "
                "A network with 'valid' padding needs its masks centre-cropped to its output."
            )
    channels, classes = y_true.shape[-1], y_pred.shape[-1]
    if channels is None:
        raise ValueError(f"y_true needs a known number of channels; received {shapes}.")
    if channels not in (1, classes):
        raise ValueError(
            f"y_true must have 1 channel (class ids) or {classes} (one for each class of the "
            f"prediction); received {shapes}."
        )


def checked_mask(y_true, num_classes: int, ignore_class: int | None):
    """Per-class maps of a mask, which pixels count, and whether its values were in range.

    Class ids outside of the range are an error that is easy to make (a mask of 0 and 255, a mask
    divided by 255 twice) and hard to see in a loss. Eagerly it is a ValueError. In a graph it is an
    assertion, which XLA drops; there `poison` makes the loss NaN instead of quietly wrong.

    Args:
      y_true: (B, H, W, 1) class ids or (B, H, W, K) maps in [0, 1], any dtype. With K = 1 the
        ids may be soft, between 0 and 1.
    Returns:
      truth (B, H, W, K) float32, valid (B, H, W, 1) float32 or None, poison scalar float32.
    """
    if y_true.dtype == tf.bool:
        y_true = tf.cast(y_true, tf.float32)
    values = tf.cast(y_true, tf.float32)
    valid = None
    if ignore_class is not None:
        ignored = tf.equal(values, tf.cast(ignore_class, tf.float32))
        if values.shape[-1] > 1:
            # In per-class maps a pixel is left out by the marker in any channel.
            ignored = tf.reduce_any(ignored, axis=-1, keepdims=True)
        valid = tf.cast(tf.logical_not(ignored), tf.float32)
        values = tf.where(ignored, 0.0, values)

    ids = values.shape[-1] == 1 and num_classes > 1
    highest = num_classes - 1 if ids else 1
    in_range = tf.reduce_all((values >= 0.0) & (values <= float(highest)))
    if ids:
        in_range &= tf.reduce_all(tf.equal(values, tf.round(values)))
    accepted = f"class ids 0 to {highest}" if ids else "values from 0 to 1"
    message = (
        f"y_true for a prediction of {num_classes} "
        f"{'class' if num_classes == 1 else 'classes'} must hold {accepted}"
        f"{'' if ignore_class is None else f' or ignore_class={ignore_class}'}; masks of 0 and 255 "
        "must be divided by 255 first."
    )
    if tf.executing_eagerly():
        if not bool(in_range):
            found = tf.unique(tf.reshape(values, [-1]))[0].numpy()[:8]
            raise ValueError(f"{message} Received values such as {sorted(found.tolist())}.")
        poison = tf.zeros([])
    else:
        tf.debugging.Assert(in_range, [message])
        poison = tf.where(in_range, 0.0, float("nan"))

    if ids:
        truth = tf.one_hot(tf.cast(tf.squeeze(values, -1), tf.int32), num_classes)
        if valid is not None:
            truth *= valid
    else:
        truth = values
    return truth, valid, poison


def split_sample_weight(sample_weight, y_pred):
    """Splits `sample_weight` into per-pixel (B, H, W, 1) and per-image (B,) weights."""
    if sample_weight is None:
        return None, None
    weight = tf.cast(tf.convert_to_tensor(sample_weight), tf.float32)
    rank = weight.shape.rank
    if rank is None:
        raise ValueError("sample_weight must have a known rank.")
    if rank in (0, 1):
        return None, weight
    if rank == 2 and weight.shape[1] == 1:
        return None, weight[:, 0]
    if rank == 3:
        weight = tf.expand_dims(weight, -1)
    sizes = [
        ours is None or theirs is None or ours == theirs
        for ours, theirs in zip(weight.shape[:3], y_pred.shape[:3], strict=False)
    ]
    if weight.shape.rank != 4 or not all(sizes) or weight.shape[3] not in (None, 1):
        raise ValueError(
            "sample_weight must be a scalar, (batch,), (batch, height, width) or "
            f"(batch, height, width, 1); received {_shape(sample_weight)} for a prediction "
            f"{_shape(y_pred)}."
        )
    return weight, None


def _check_probabilities(y_pred) -> None:
    if not tf.executing_eagerly():
        return
    lowest, highest = float(tf.reduce_min(y_pred)), float(tf.reduce_max(y_pred))
    if lowest < -1e-3 or highest > 1.0 + 1e-3:
        raise ValueError(
            f"y_pred must hold probabilities in [0, 1]; received values from {lowest:g} to "
            f"{highest:g}. Pass from_logits=True for the raw scores of a network without a final "
            "activation."
        )


def _shape(tensor) -> str:
    return str(tuple(tensor.shape))
