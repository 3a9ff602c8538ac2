"""The base class of the losses on masks."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_unet3p import compat
from keras_unet3p.losses._batch import Batch, make_batch

REDUCTIONS = ("sum_over_batch_size", "sum", "none")


@compat.register
class SegmentationLoss(keras.losses.Loss):
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

    Everything is computed in float32, whatever comes in. Values are taken per image and class and
    averaged, never pooled over the batch: a pooled value would change with the batch size and
    across replicas. In `fit` under `tf.distribute` the update is that of the global batch (equal
    shares for the replicas, as Keras assumes). A training loop of one's own that sums gradients
    over replicas gets that as well with Keras 3, whose losses divide by the number of replicas;
    with Keras 2, where `Model.compute_loss` divides, it divides the loss itself.

    Args:
      from_logits: Whether `y_pred` holds logits.
      multi_label: Whether several channels are independent labels instead of exclusive classes.
      ignore_class: Value in `y_true` of pixels that are left out entirely, 255 say; in per-class
        maps the marker in any channel leaves the pixel out.
      class_weights: One weight per class of the prediction. Region losses: of the mean over the
        classes. Pixel-level losses: see there.
      reduction: "sum_over_batch_size" (the mean over the images), "sum", or "none": (B,) values.
      name: Name of the loss; each class has its own by default.

    Raises:
      ValueError: On call, for shapes that do not belong together, and for masks out of range
        (eagerly; a graph raises `tf.errors.InvalidArgumentError`, or under XLA, which has no
        assertions, gives NaN).
    """

    default_name: str | None = None

    def __init__(
        self,
        *,
        from_logits: bool = False,
        multi_label: bool = False,
        ignore_class: int | None = None,
        class_weights: Sequence[float] | None = None,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
    ):
        if reduction == "auto":  # Keras 2's default, which means the same.
            reduction = "sum_over_batch_size"
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {REDUCTIONS}; received {reduction!r}.")
        super().__init__(reduction=reduction, name=name or self.default_name)
        self.from_logits = bool(from_logits)
        self.multi_label = bool(multi_label)
        self.ignore_class = ignore_class
        if class_weights is not None:
            class_weights = [float(weight) for weight in class_weights]
            if min(class_weights, default=0.0) < 0.0 or not any(class_weights):
                raise ValueError(
                    "class_weights must be non-negative and not all zero; "
                    f"received {class_weights}."
                )
        self.class_weights = class_weights

    def __call__(self, y_true, y_pred, sample_weight=None):
        values = self.per_image(y_true, y_pred, sample_weight)
        if self.reduction == "none":
            return values
        if self.reduction == "sum":
            return tf.reduce_sum(values)
        return compat.scale_loss_for_distribution(mean_over_images(values))

    def call(self, y_true, y_pred):
        """Loss of each image, (B,) float32."""
        return self.per_image(y_true, y_pred)

    def per_image(self, y_true, y_pred, sample_weight=None):
        """Loss of each image, (B,) float32, before any reduction."""
        return self.image_values(self._batch(y_true, y_pred, sample_weight))

    def per_class(self, y_true, y_pred, sample_weight=None):
        """Loss of each image and class, (B, K) float32, before class weights and reduction."""
        return self.class_values(self._batch(y_true, y_pred, sample_weight))

    def image_values(self, batch: Batch):
        """Loss of each image of a canonical batch, (B,) float32."""
        values = self.combine_classes(self.class_values(batch), batch)
        if batch.image_weights is not None:
            values *= batch.image_weights
        return values + batch.poison

    def class_values(self, batch: Batch):
        """Loss of each image and class of a canonical batch, (B, K) float32. Subclasses give it."""
        raise NotImplementedError(f"{type(self).__name__} must implement class_values.")

    def combine_classes(self, values, batch: Batch):
        """(B, K) -> (B,): the mean over classes, weighted by `class_weights`."""
        if self.class_weights is None or batch.num_classes == 1:
            return tf.reduce_mean(values, axis=-1)
        weights = tf.constant(self._checked_class_weights(batch.num_classes), tf.float32)
        return tf.reduce_sum(values * weights, axis=-1) / tf.reduce_sum(weights)

    def get_config(self):
        return {
            "from_logits": self.from_logits,
            "multi_label": self.multi_label,
            "ignore_class": self.ignore_class,
            "class_weights": self.class_weights,
            "reduction": self.reduction,
            "name": self.name,
        }

    def _batch(self, y_true, y_pred, sample_weight) -> Batch:
        return make_batch(
            y_true,
            y_pred,
            sample_weight,
            from_logits=self.from_logits,
            multi_label=self.multi_label,
            ignore_class=self.ignore_class,
        )

    def _checked_class_weights(self, expected: int) -> list[float]:
        assert self.class_weights is not None
        if len(self.class_weights) != expected:
            raise ValueError(
                f"class_weights must hold {expected} weights for this prediction; "
                f"received {len(self.class_weights)}."
            )
        return self.class_weights


def mean_over_images(values):
    """Mean of (B,) values; 0 for an empty batch, which a replica may receive."""
    count = tf.maximum(tf.size(values, out_type=tf.int32), 1)
    return tf.reduce_sum(values) / tf.cast(count, values.dtype)
