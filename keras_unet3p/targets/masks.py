"""What a mask may be: class ids (B, H, W) or (B, H, W, 1), or a map for each class (B, H, W, K)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_unet3p.errors import InputError
from keras_unet3p.targets.poison import poison_unless


def mask_with_channels(mask: Any, prediction: Any, *, margin: int = 0) -> Any:
    """The mask as (B, H, W, 1) or (B, H, W, K), whose static shape fits the prediction's.

    Args:
        mask: Tensor (B, H, W), (B, H, W, 1) or (B, H, W, K).
        prediction: Tensor (B, H, W, K).
        margin: Pixels that an unpadded network's prediction lacks on each side; the mask may have
            them still.

    Raises:
        ValueError: For static shapes that cannot belong together; it names both.

    Example:
        >>> mask_with_channels(tf.zeros((2, 8, 8)), tf.zeros((2, 8, 8, 3))).shape.as_list()
        [2, 8, 8, 1]
    """
    found = f"received mask {shape_of(mask)}, prediction {shape_of(prediction)}"
    if prediction.shape.rank != 4 or prediction.shape[-1] is None:
        raise InputError(
            "y_pred must be (batch, height, width, classes) with a known number of classes; "
            f"{found}."
        )
    if mask.shape.rank is None and prediction.shape[-1] == 1 and not margin:
        # A Python generator without a signature loses its shapes; with one channel both accepted
        # shapes hold the same values.
        return tf.reshape(mask, tf.shape(prediction))
    if mask.shape.rank is None:
        raise InputError(
            "y_true must have a known number of axes; Keras forgets it in a function compiled for "
            "masks with and without a last axis: call compile() again, or keep to one of the two."
        )
    if _lacks_batch_axis(mask.shape, prediction.shape, margin):
        raise InputError(
            "y_true must begin with the axis of the batch, which this mask lacks; give one image "
            f"as mask[np.newaxis], a dataset as dataset.batch(n); {found}."
        )
    if mask.shape.rank == 3:
        mask = tf.expand_dims(mask, -1)
    if mask.shape.rank != 4:
        raise InputError(
            "y_true must be (batch, height, width), (batch, height, width, 1) or "
            f"(batch, height, width, classes); {found}."
        )
    check_sizes("y_true", mask.shape, prediction.shape, margin, found)
    channels, classes = mask.shape[-1], prediction.shape[-1]
    if channels is None:
        raise InputError(f"y_true needs a known number of channels; {found}.")
    if channels not in (1, classes):
        raise InputError(
            f"y_true must have 1 channel (class ids) or {classes} (one for each class of the "
            f"prediction); {found}."
        )
    return mask


def check_sizes(name: str, shape, prediction, margin: int, found: str) -> None:
    """Raises ValueError where batch size, height or width differ from the prediction's."""
    for axis, side in ((0, "batch size"), (1, "height"), (2, "width")):
        ours, theirs = shape[axis], prediction[axis]
        if _fits(ours, theirs, margin if axis else 0):
            continue
        hint = "A network with 'valid' padding needs its masks centre-cropped to its output."
        if margin:
            hint = f"{theirs + 2 * margin}, the image's, is cropped around the centre."
        raise InputError(
            f"{name} and y_pred differ in {side}, {ours} against {theirs}; {found}. {hint}"
        )


def per_class_maps(
    mask: Any, num_classes: int, ignore_class: int | None, dtype=tf.float32
) -> tuple[Any, Any, Any]:
    """Per-class maps of a mask, which pixels count, and whether its values were in range.

    Class ids outside of the range are an error that is easy to make (a mask of 0 and 255, a mask
    divided by 255 twice) and hard to see in a loss; see `poison_unless` for what becomes of them.

    Args:
        mask: (B, H, W, 1) class ids or (B, H, W, K) maps in [0, 1], any dtype. With K = 1 the
            ids may be soft, between 0 and 1.
        num_classes: Channels of the prediction, K.
        ignore_class: Value of pixels that do not count, or None.
        dtype: Of the maps.

    Returns:
        truth (B, H, W, K), zero where a pixel does not count, valid (B, H, W, 1) or None, and
        poison,
        a scalar float32.

    Example:
        >>> maps, valid, _ = per_class_maps(tf.constant([[[[0], [255], [2]]]]), 3, ignore_class=255)
        >>> maps.numpy()[0, 0].tolist(), valid.numpy().ravel().tolist()
        ([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [1.0, 0.0, 1.0])
    """
    if mask.dtype == tf.bool:
        mask = tf.cast(mask, dtype)
    values = tf.cast(mask, dtype)
    valid = None
    if ignore_class is not None:
        ignored = tf.equal(values, tf.cast(ignore_class, dtype))
        if values.shape[-1] > 1:
            # In per-class maps a pixel is left out by the marker in any channel.
            ignored = tf.reduce_any(ignored, axis=-1, keepdims=True)
        valid = tf.cast(tf.logical_not(ignored), dtype)
        values = tf.where(ignored, tf.zeros([], dtype), values)

    ids = values.shape[-1] == 1 and num_classes > 1
    highest = num_classes - 1 if ids else 1
    in_range = tf.reduce_all((values >= 0.0) & (values <= float(highest)))
    if ids:
        in_range &= tf.reduce_all(tf.equal(values, tf.round(values)))
    accepted = f"class ids 0 to {highest}" if ids else "values from 0 to 1"
    poison = poison_unless(
        in_range,
        f"y_true for a prediction of {num_classes} "
        f"{'class' if num_classes == 1 else 'classes'} must hold {accepted}"
        f"{'' if ignore_class is None else f' or ignore_class={ignore_class}'}; masks of 0 and 255 "
        "must be divided by 255 first, and pixels to leave out need ignore_class.",
        values,
    )
    if not ids:
        return values, valid, poison
    truth = tf.one_hot(tf.cast(tf.squeeze(values, -1), tf.int32), num_classes, dtype=dtype)
    return truth if valid is None else truth * valid, valid, poison


def shape_of(tensor) -> str:
    """The static shape for a message."""
    return str(tuple(tensor.shape)) if tensor.shape.rank is not None else "of unknown rank"


def _lacks_batch_axis(shape, prediction, margin: int) -> bool:
    """Whether a shape reads as (H, W), (H, W, 1) or (H, W, K) and not as (B, H, W)."""
    if shape.rank not in (2, 3):
        return False
    if not all(map(_fits, shape[:2], prediction[1:3], (margin, margin))):
        return False
    if shape.rank == 2:
        return True
    batched = map(_fits, shape, prediction[:3], (0, margin, margin))
    return shape[2] in (1, prediction[3]) and not all(batched)


def _fits(ours: int | None, theirs: int | None, margin: int) -> bool:
    return ours is None or theirs is None or ours in (theirs, theirs + 2 * margin)
