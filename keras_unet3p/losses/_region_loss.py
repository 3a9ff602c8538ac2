"""What the losses on whole regions share: the background option and the overlap score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_unet3p.errors import InputError
from keras_unet3p.losses._batch import Batch
from keras_unet3p.losses.segmentation_loss import SegmentationLoss


class RegionLoss(SegmentationLoss):
    """Losses with one value per image and class; `include_background=False` drops class 0.

    The option concerns the classes of a softmax; one channel, or independent labels, have no
    background channel.
    """

    def __init__(
        self,
        *,
        include_background: bool = True,
        from_logits: bool = False,
        multi_label: bool = False,
        ignore_class: int | None = None,
        class_weights: Sequence[float] | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(
            from_logits=from_logits,
            multi_label=multi_label,
            ignore_class=ignore_class,
            class_weights=class_weights,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        self.include_background = bool(include_background)

    def combine_classes(self, values, batch: Batch):
        if self.include_background or not batch.exclusive:
            return super().combine_classes(values, batch)
        values = values[:, 1:]
        if self.class_weights is None:
            return tf.reduce_mean(values, axis=-1)
        weights = self._constant_class_weights(batch)[1:]
        return tf.math.divide_no_nan(
            tf.reduce_sum(values * weights, axis=-1), tf.reduce_sum(weights)
        )

    def get_config(self):
        return {**super().get_config(), "include_background": self.include_background}


class OverlapLoss(RegionLoss):
    """1 - TP / (TP + alpha FP + beta FN) over soft counts: IoU, Dice and Tversky."""

    def __init__(
        self,
        *,
        smooth: float = 1e-3,
        use_pixel_weights: bool = False,
        include_background: bool = True,
        from_logits: bool = False,
        multi_label: bool = False,
        ignore_class: int | None = None,
        class_weights: Sequence[float] | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ):
        if not smooth > 0.0:
            raise InputError(f"smooth must be above 0; received {smooth}.")
        super().__init__(
            include_background=include_background,
            from_logits=from_logits,
            multi_label=multi_label,
            ignore_class=ignore_class,
            class_weights=class_weights,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        self.smooth = float(smooth)
        self.use_pixel_weights = bool(use_pixel_weights)

    def false_positive_and_negative_weights(self) -> tuple[float, float]:
        raise NotImplementedError

    def class_values(self, batch: Batch):
        alpha, beta = self.false_positive_and_negative_weights()
        probabilities, truth = batch.probabilities, batch.truth
        inverse, background = 1.0 - probabilities, 1.0 - truth
        weights = batch.valid
        if self.use_pixel_weights and batch.pixel_weights is not None:
            weights = batch.pixel_weights if weights is None else weights * batch.pixel_weights
        if weights is not None:
            truth, background = truth * weights, background * weights
        hits = tf.reduce_sum(probabilities * truth, axis=(1, 2))
        misses = tf.reduce_sum(inverse * truth, axis=(1, 2))
        false_alarms = tf.reduce_sum(probabilities * background, axis=(1, 2))
        # Smoothing only where it is needed: for a mask of less than one pixel, whose score would be
        # 0 / 0 for an empty prediction. Other scores are exact.
        smooth = self.smooth * tf.nn.relu(1.0 - tf.reduce_sum(truth, axis=(1, 2)))
        errors = alpha * false_alarms + beta * misses
        return errors / (hits + errors + smooth)

    def get_config(self):
        return {
            **super().get_config(),
            "smooth": self.smooth,
            "use_pixel_weights": self.use_pixel_weights,
        }
