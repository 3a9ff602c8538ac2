"""Tversky loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_unet3p import compat
from keras_unet3p.errors import InputError
from keras_unet3p.losses._region_loss import OverlapLoss


@compat.register
class Tversky(OverlapLoss):
    """1 - TP / (TP + alpha FP + beta FN) of soft counts (Salehi et al. 2017, equation 3).

    For each image and class, then the mean. alpha = beta = 1/2 is `Dice`, alpha = beta = 1 is
    `IoU`; beta above alpha punishes missed pixels more than false ones. Empty masks as in `IoU`,
    with alpha times the sum of p for U.

    Args:
        alpha: Weight of false positives, above 0.
        beta: Weight of false negatives, above 0.
        smooth, use_pixel_weights, include_background, class_weights: See `IoU`.
        from_logits, multi_label, ignore_class, reduction, name, dtype: See `SegmentationLoss`.

    Example:
        >>> mask = np.array([[[1, 1, 0]]])
        >>> prediction = np.array([[[1.0, 0.0, 0.0]]])[..., np.newaxis]
        >>> round(float(ku.losses.Tversky(alpha=0.1, beta=0.9)(mask, prediction)), 3)
        0.474
    """

    default_name = "tversky"

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 0.7,
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
        if not (alpha > 0.0 and beta > 0.0):
            raise InputError(
                f"alpha and beta must be above 0; received alpha={alpha}, beta={beta}."
            )
        super().__init__(
            smooth=smooth,
            use_pixel_weights=use_pixel_weights,
            include_background=include_background,
            from_logits=from_logits,
            multi_label=multi_label,
            ignore_class=ignore_class,
            class_weights=class_weights,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        self.alpha = float(alpha)
        self.beta = float(beta)

    def false_positive_and_negative_weights(self) -> tuple[float, float]:
        return self.alpha, self.beta

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta}
