"""What cross-entropy and focal loss share: values per pixel, weighted and averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_unet3p.errors import InputError
from keras_unet3p.losses._batch import EPSILON, Batch
from keras_unet3p.losses.segmentation_loss import SegmentationLoss

NORMALIZATIONS = ("pixels", "weights", "sum")


class PixelLoss(SegmentationLoss):
    """Losses that are a sum over pixels; per-pixel sample weights apply.

    normalization: "pixels" divides the weighted sum over an image by the number of its pixels that
    count, "weights" by the sum of their weights, "sum" leaves the sum. None is "pixels", but for
    the reductions "sum" and "mean_with_sample_weight", which are then those of Keras over pixels:
    the weighted sum over all of them, and that divided by the sum of their weights.
    """

    def __init__(
        self,
        *,
        normalization: str | None = None,
        from_logits: bool = False,
        multi_label: bool = False,
        ignore_class: int | None = None,
        class_weights: Sequence[float] | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ):
        if normalization not in (None, *NORMALIZATIONS):
            raise InputError(
                f"normalization must be None or one of {NORMALIZATIONS}; "
                f"received {normalization!r}."
            )
        super().__init__(
            from_logits=from_logits,
            multi_label=multi_label,
            ignore_class=ignore_class,
            class_weights=class_weights,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        self.normalization = normalization

    def positive_and_negative_terms(self, batch: Batch):
        """Loss (B, H, W, K) of a pixel if it belongs to a class, and if not (None for softmax)."""
        raise NotImplementedError

    def class_values(self, batch: Batch):
        positive, negative = self.positive_and_negative_terms(batch)
        values = batch.truth * positive
        if negative is None:
            if self.class_weights is not None:
                values *= self._constant_class_weights(batch)
        else:
            background_terms = (1.0 - batch.truth) * negative
            if self.class_weights is not None and batch.num_classes == 1:
                weights = self._checked_class_weights(2)
                values, background_terms = weights[1] * values, weights[0] * background_terms
            values += background_terms
        weights = _product(batch.pixel_weights, batch.valid)
        if weights is not None:
            values *= weights
        sums = tf.reduce_sum(values, axis=(1, 2))
        if self.normalization == "sum" or self._over_pixels():
            return sums
        counted = weights if self.normalization == "weights" else batch.valid
        return tf.math.divide_no_nan(sums, _sum_over_pixels(counted, batch))

    def image_weights(self, batch: Batch):
        weights = super().image_weights(batch)
        if self._over_pixels():
            counted = _product(batch.pixel_weights, batch.valid)
            weights *= tf.squeeze(_sum_over_pixels(counted, batch), -1)
        return weights

    def _over_pixels(self) -> bool:
        """Whether the reduction is one over the pixels of all images."""
        return self.normalization is None and self.reduced_to in ("sum", "mean_with_sample_weight")

    def combine_classes(self, values, batch: Batch):
        if batch.exclusive:  # Each pixel has contributed to its own class only.
            return tf.reduce_sum(values, axis=-1)
        return super().combine_classes(values, batch)

    def get_config(self):
        return {**super().get_config(), "normalization": self.normalization}


def log_probabilities(batch: Batch):
    """log p and log(1 - p) of each pixel and channel; the latter is None for a softmax."""
    if batch.exclusive:
        if batch.logits is not None:
            return tf.nn.log_softmax(batch.logits), None
        return tf.math.log(clipped(batch.probabilities)), None
    if batch.logits is not None:
        return tf.math.log_sigmoid(batch.logits), tf.math.log_sigmoid(-batch.logits)
    p = clipped(batch.probabilities)
    return tf.math.log(p), tf.math.log1p(-p)


def clipped(probabilities):
    return tf.clip_by_value(probabilities, EPSILON, 1.0 - EPSILON)


def _sum_over_pixels(weights, batch: Batch):
    """Sum of (B, H, W, 1) weights, (B, 1); of None the number of pixels, (1, 1)."""
    if weights is not None:
        return tf.reduce_sum(weights, axis=(1, 2))
    shape = tf.shape(batch.truth)
    return tf.cast(shape[1] * shape[2], batch.truth.dtype)[tf.newaxis, tf.newaxis]


def _product(a, b):
    if a is None or b is None:
        return b if a is None else a
    return a * b
