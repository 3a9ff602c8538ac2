"""The base class of the losses on masks."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any, TypeVar

import keras
import tensorflow as tf

from keras_unet3p import compat
from keras_unet3p.errors import InputError
from keras_unet3p.losses._batch import Batch, make_batch
from keras_unet3p.targets.prediction_reader import PredictionReader

REDUCTIONS = {
    "sum_over_batch_size": "mean",
    "auto": "mean",  # Keras 2's default.
    "mean": "mean",
    "mean_with_sample_weight": "mean_with_sample_weight",
    "sum": "sum",
    "none": "none",
    None: "none",
}
"""What `keras.losses.Loss` calls its reductions, in either Keras, and what each one is."""


@compat.register
class SegmentationLoss(keras.losses.Loss, PredictionReader):
    """Base of the losses: one value per image, then the mean over the batch.

    `loss(y_true, y_pred, sample_weight=None)` takes

    - `y_true`: (B, H, W) or (B, H, W, 1) class ids, or (B, H, W, K) maps in [0, 1]; any dtype. For
      K = 1 the ids are 0 and 1 (values between are soft labels).
    - `y_pred`: (B, H, W, K) probabilities, or logits with `from_logits=True`. One channel is a
      sigmoid; more are a softmax, or independent sigmoids with `multi_label=True`.
    - `sample_weight`: None, a scalar, (B,), (B, H, W) or (B, H, W, 1). Weights of whole images
      scale an image's loss. Weights of pixels (a border weight map) reach the pixel-level losses
      (cross-entropy, focal); the region losses (Dice, IoU, Tversky, MS-SSIM, ...) leave them out
      unless they have an option for them.

    Losses add up to a loss, and may be scaled: `0.5 * Dice() + Focal()` is a `HybridLoss`. The
    `compile` of this package's models takes a loss by name too, "keras_unet3p>Dice", and Keras 2 by
    the name under which it is registered: "keras_unet3p>DiceLoss" and "keras_unet3p>IoULoss" beside
    the metrics, the class's name for others.

    Everything is computed in float32, whatever comes in, or in float64 if `dtype` says so. Values
    are taken per image and class and averaged, never pooled over the batch: a pooled value would
    change with the batch size and across replicas. In `fit` under `tf.distribute` the update is
    that of the global batch (equal shares for the replicas, as Keras assumes). A training loop of
    one's own that sums gradients over replicas gets that as well with Keras 3, whose losses divide
    by the number of replicas; with Keras 2, where `Model.compute_loss` divides, it divides the loss
    itself.

    Args:
        from_logits: Whether `y_pred` holds logits.
        multi_label: Whether several channels are independent labels instead of exclusive classes.
        ignore_class: Value in `y_true` of pixels that are left out entirely, 255 say; in per-class
            maps the marker in any channel leaves the pixel out.
        class_weights: One weight per class of the prediction. Region losses: of the mean over the
            classes. Pixel-level losses: see there.
        reduction: As in `keras.losses.Loss`, over the values of the images: "sum_over_batch_size",
            or "mean" or "auto": their mean; "sum": their sum, of pixel-level losses over the pixels
            as well; "mean_with_sample_weight": their sum divided by that of the weights, which for
            pixel-level losses may be a weight map's; "none" or None: the (B,) values.
        name: Name of the loss; each class has its own by default.
        dtype: Of the value, float32 by default; a policy's is its compute dtype. Values of half
            precision are computed in float32 nevertheless.

    Raises:
        ValueError: On call, for shapes that do not belong together, and for masks out of range or
            weights that are negative or not finite (eagerly; a graph raises
            `tf.errors.InvalidArgumentError`, or under XLA, which has no assertions, gives NaN).

    Example:
        >>> class Brightness(SegmentationLoss):
        ...     def class_values(self, batch):
        ...         return tf.reduce_mean(batch.probabilities, axis=(1, 2))
        >>> loss = Brightness() + 0.5 * ku.losses.Dice()
        >>> mask, prediction = np.ones((1, 4, 4)), np.ones((1, 4, 4, 1))
        >>> round(float(loss(mask, prediction)), 3)
        1.0
    """

    default_name: str | None = None
    _sum_class: Any = None  # see `made_by_operators`

    def __init__(
        self,
        *,
        from_logits: bool = False,
        multi_label: bool = False,
        ignore_class: int | None = None,
        class_weights: Sequence[float] | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ):
        if reduction not in REDUCTIONS:
            raise InputError(
                f"reduction must be one of {tuple(REDUCTIONS)}; received {reduction!r}."
            )
        self.reduced_to = REDUCTIONS[reduction]
        super().__init__(
            reduction=compat.keras_reduction(self.reduced_to), name=name or self.default_name
        )
        self._value_dtype = compat.compute_dtype(dtype or "float32")
        self.from_logits = bool(from_logits)
        self.multi_label = bool(multi_label)
        self.ignore_class = ignore_class
        if class_weights is not None:
            class_weights = [float(weight) for weight in class_weights]
            if min(class_weights, default=0.0) < 0.0 or not any(class_weights):
                raise InputError(
                    "class_weights must be non-negative and not all zero; "
                    f"received {class_weights}."
                )
        self.class_weights = class_weights

    @property
    def dtype(self) -> str:
        """Dtype of the loss's value."""
        return self._value_dtype

    def __call__(self, y_true, y_pred, sample_weight=None):
        value = self.value(y_true, y_pred, sample_weight)
        if self.reduced_to in ("mean", "mean_with_sample_weight"):
            value = compat.scale_loss_for_distribution(value)
        return tf.cast(value, self.dtype)

    def __add__(self, other):
        if isinstance(other, SegmentationLoss):
            return self._sum_class([self, other])
        return NotImplemented

    def __radd__(self, other):
        return self if other == 0 else NotImplemented  # `sum` begins with 0.

    def __mul__(self, weight):
        if isinstance(weight, numbers.Real):
            return self._sum_class([self], [float(weight)])
        return NotImplemented

    __rmul__ = __mul__
    __array_ufunc__ = None  # A NumPy number leaves the product to us.

    def value(self, y_true, y_pred, sample_weight=None):
        """The reduced loss, before it is divided among the replicas of a `tf.distribute` strategy.

        A scalar, or (B,) without a reduction.
        """
        return self.reduced(self._batch(y_true, y_pred, sample_weight))

    def call(self, y_true, y_pred):
        """Loss of each image, (B,)."""
        return self.per_image(y_true, y_pred)

    def per_image(self, y_true, y_pred, sample_weight=None):
        """Loss of each image, (B,), before any reduction."""
        return self.image_values(self._batch(y_true, y_pred, sample_weight))

    def per_class(self, y_true, y_pred, sample_weight=None):
        """Loss of each image and class, (B, K), before class weights and reduction."""
        return self.class_values(self._batch(y_true, y_pred, sample_weight))

    def reduced(self, batch: Batch):
        """Loss of a canonical batch: a scalar, or (B,) without a reduction."""
        values = self.image_values(batch)
        if self.reduced_to == "none":
            return values
        total = tf.reduce_sum(values)
        if self.reduced_to == "sum":
            return total
        if self.reduced_to == "mean":
            return total / tf.maximum(number_of_images(batch), 1)  # A replica may receive none.
        weight = tf.reduce_sum(self.image_weights(batch))
        return tf.math.divide_no_nan(total, weight) + batch.poison

    def image_weights(self, batch: Batch):
        """Weights (B,) by whose sum the reduction "mean_with_sample_weight" divides."""
        ones = tf.ones_like(batch.truth[:, 0, 0, 0])
        return ones if batch.image_weights is None else ones * batch.image_weights

    def image_values(self, batch: Batch):
        """Loss of each image of a canonical batch, (B,)."""
        values = self.combine_classes(self.class_values(batch), batch)
        if batch.image_weights is not None:
            values *= batch.image_weights
        return values + batch.poison

    def class_values(self, batch: Batch):
        """Loss of each image and class of a canonical batch, (B, K). Subclasses give it."""
        raise NotImplementedError(f"{type(self).__name__} must implement class_values.")

    def combine_classes(self, values, batch: Batch):
        """(B, K) -> (B,): the mean over classes, weighted by `class_weights`."""
        if self.class_weights is None or batch.num_classes == 1:
            return tf.reduce_mean(values, axis=-1)
        weights = self._constant_class_weights(batch)
        return tf.reduce_sum(values * weights, axis=-1) / tf.reduce_sum(weights)

    def get_config(self):
        return {
            "from_logits": self.from_logits,
            "multi_label": self.multi_label,
            "ignore_class": self.ignore_class,
            "class_weights": self.class_weights,
            "reduction": self.reduced_to if self.reduced_to != "mean" else "sum_over_batch_size",
            "name": self.name,
            "dtype": self.dtype,
        }

    def _batch(self, y_true, y_pred, sample_weight) -> Batch:
        return make_batch(
            y_true,
            y_pred,
            sample_weight,
            from_logits=self.from_logits,
            multi_label=self.multi_label,
            ignore_class=self.ignore_class,
            dtype=tf.float64 if self.dtype == "float64" else tf.float32,
        )

    def _constant_class_weights(self, batch: Batch):
        return tf.constant(self._checked_class_weights(batch.num_classes), batch.truth.dtype)

    def _checked_class_weights(self, expected: int) -> list[float]:
        assert self.class_weights is not None
        if len(self.class_weights) != expected:
            raise InputError(
                f"class_weights must hold {expected} weights for this prediction; "
                f"received {len(self.class_weights)}."
            )
        return self.class_weights


_SumClass = TypeVar("_SumClass", bound="type[SegmentationLoss]")


def made_by_operators(sum_class: _SumClass) -> _SumClass:
    """Class decorator of the loss that `loss + loss` and `0.5 * loss` make.

    It is itself a `SegmentationLoss`, so that this file cannot import it.
    """
    SegmentationLoss._sum_class = sum_class
    return sum_class


def number_of_images(batch: Batch):
    """Images of a batch, a scalar of its dtype."""
    return tf.cast(tf.shape(batch.truth)[0], batch.truth.dtype)
