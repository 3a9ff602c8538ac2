"""What a sample weight may be: one for all, one per image, or one per pixel; at least 0."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_unet3p.errors import InputError
from keras_unet3p.targets.masks import check_sizes, shape_of
from keras_unet3p.targets.poison import poison_unless


def weight_of_known_shape(sample_weight: Any, prediction: Any, *, margin: int = 0) -> Any:
    """The weight as a scalar, (B,) or (B, H, W, 1).

    Args:
        sample_weight: A scalar, (B,), (B, 1), (B, H, W) or (B, H, W, 1), of any dtype.
        prediction: Tensor (B, H, W, K).
        margin: Pixels that an unpadded network's prediction lacks on each side; a weight map may
            have them still.

    Raises:
        ValueError: For another static shape; it names both.

    Example:
        >>> weight_of_known_shape(np.ones((2, 8, 8)), tf.zeros((2, 8, 8, 1))).shape.as_list()
        [2, 8, 8, 1]
    """
    weight = tf.convert_to_tensor(sample_weight)
    found = f"received {shape_of(weight)} for a prediction {shape_of(prediction)}"
    accepted = (
        "sample_weight must be a scalar, (batch,), (batch, height, width) or "
        "(batch, height, width, 1)"
    )
    rank = weight.shape.rank
    if rank is None:
        raise InputError(f"{accepted}, of a known rank; {found}.")
    if rank == 2 and weight.shape[1] == 1:
        weight, rank = weight[:, 0], 1
    if rank == 2:
        raise InputError(
            f"{accepted}; {found}. Such weights come from the class_weight of fit and masks "
            "(batch, height, width): use the class_weights of the loss, or give a weight map."
        )
    if rank == 3:
        weight = tf.expand_dims(weight, -1)
    if rank > 4 or (rank == 4 and weight.shape[3] not in (None, 1)):
        raise InputError(
            f"{accepted}, one weight per pixel; {found}. Weights of classes are the class_weights "
            "of the loss."
        )
    if rank:
        sizes = [*weight.shape, None, None][:3]
        check_sizes(accepted + ": it", sizes, prediction.shape, margin, found)
    return weight


def split_sample_weight(sample_weight: Any, prediction: Any, dtype=tf.float32):
    """Weights of pixels (B, H, W, 1), of images (B,) or a scalar, and poison; None where not given.

    Weights that are negative or not finite are refused: `poison_unless` says how.

    Example:
        >>> pixels, images, _ = split_sample_weight(np.array([1.0, 0.5]), tf.zeros((2, 8, 8, 1)))
        >>> pixels, images.numpy().tolist()
        (None, [1.0, 0.5])
    """
    if sample_weight is None:
        return None, None, tf.zeros([])
    weight = tf.cast(weight_of_known_shape(sample_weight, prediction), dtype)
    poison = poison_unless(
        tf.reduce_all(tf.math.is_finite(weight) & (weight >= 0.0)),
        "sample_weight must hold finite weights of at least 0.",
        weight,
    )
    return (weight, None, poison) if weight.shape.rank == 4 else (None, weight, poison)
