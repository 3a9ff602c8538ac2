"""Focal loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_unet3p import compat
from keras_unet3p.errors import InputError
from keras_unet3p.losses._batch import EPSILON, Batch
from keras_unet3p.losses._pixel_loss import PixelLoss, clipped, log_probabilities


@compat.register
class Focal(PixelLoss):
    """Focal loss of Lin et al. 2017, equation 5: -alpha_t (1 - p_t)^gamma log p_t.

    One channel or `multi_label`: both the positive term (alpha, p) and the negative term
    (1 - alpha, 1 - p). Softmax: the term of a pixel's own class, times alpha. `gamma=0, alpha=None`
    is `WeightedCrossEntropy`. The mean over an image's pixels unless `normalization` says
    otherwise; `sample_weight` (B, H, W) weights pixels.

    Args:
        alpha: Balance of the positive against the negative term, in [0, 1], or None for none. For a
            softmax one factor for all classes; use `class_weights` for one each.
        gamma: Focusing exponent, at least 0.
        normalization, class_weights: See `WeightedCrossEntropy`.
        from_logits, multi_label, ignore_class, reduction, name, dtype: See `SegmentationLoss`.

    Example:
        >>> mask = np.array([[[1, 0]]])
        >>> prediction = np.array([[[0.9, 0.6]]])[..., np.newaxis]
        >>> round(float(ku.losses.Focal(alpha=None, gamma=0.0)(mask, prediction)), 3)
        0.511
        >>> round(float(ku.losses.Focal(alpha=None, gamma=2.0)(mask, prediction)), 3)
        0.165
    """

    default_name = "focal"

    def __init__(
        self,
        alpha: float | None = 0.25,
        gamma: float = 2.0,
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
        if alpha is not None and not 0.0 <= alpha <= 1.0:
            raise InputError(f"alpha must be None or in [0, 1]; received {alpha}.")
        if gamma < 0.0:
            raise InputError(f"gamma must be at least 0; received {gamma}.")
        super().__init__(
            normalization=normalization,
            from_logits=from_logits,
            multi_label=multi_label,
            ignore_class=ignore_class,
            class_weights=class_weights,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        self.alpha = alpha
        self.gamma = float(gamma)

    def positive_and_negative_terms(self, batch: Batch):
        log_p, log_not_p = log_probabilities(batch)
        positive, negative = -log_p, None if log_not_p is None else -log_not_p
        if self.gamma:
            # From logits the powers are taken as exp(gamma log(1 - p)), whose gradient stays finite
            # where 1 - p underflows and gamma < 1.
            if negative is None or log_not_p is None:
                rest = 1.0 - clipped(batch.probabilities)
                if batch.logits is not None:
                    rest = tf.maximum(-tf.math.expm1(log_p), EPSILON)
                positive *= tf.pow(rest, self.gamma)
            else:
                positive *= tf.exp(self.gamma * log_not_p)
                negative *= tf.exp(self.gamma * log_p)
        if self.alpha is not None:
            positive *= self.alpha
            if negative is not None:
                negative *= 1.0 - self.alpha
        return positive, negative

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "gamma": self.gamma}
