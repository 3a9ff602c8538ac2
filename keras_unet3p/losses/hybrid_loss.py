"""The hybrid loss of UNet 3+."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from keras_unet3p import compat
from keras_unet3p.errors import InputError
from keras_unet3p.losses._batch import Batch
from keras_unet3p.losses._region_loss import RegionLoss
from keras_unet3p.losses.cl_dice import ClDice
from keras_unet3p.losses.dice import Dice
from keras_unet3p.losses.focal import Focal
from keras_unet3p.losses.iou import IoU
from keras_unet3p.losses.ms_ssim import MSSSIM
from keras_unet3p.losses.segmentation_loss import SegmentationLoss
from keras_unet3p.losses.tversky import Tversky
from keras_unet3p.losses.weighted_cross_entropy import WeightedCrossEntropy

TERMS = {
    "focal": Focal,
    "ms_ssim": MSSSIM,
    "iou": IoU,
    "cross_entropy": WeightedCrossEntropy,
    "dice": Dice,
    "tversky": Tversky,
    "cl_dice": ClDice,
}
SHARED = ("from_logits", "multi_label", "ignore_class", "reduction", "name", "dtype")


@compat.register
class HybridLoss(SegmentationLoss):
    """Weighted sum of named terms; by default focal + MS-SSIM + IoU, equation 5 of UNet 3+.

    Pixel level (focal), patch level (MS-SSIM) and map level (IoU). Each argument that names a term
    is its weight in the sum, 0 leaves the term out:

    ```python
    HybridLoss()                                        # the paper's
    HybridLoss(focal=2.0, iou=0.0, dice=1.0)            # another mixture
    HybridLoss(options={"focal": {"gamma": 3.0}})       # arguments of single terms
    ```

    Per-pixel `sample_weight` reaches the pixel-level terms (focal, cross-entropy) only. With any
    reduction the terms of an image are means over its pixels, so that they stay comparable; with
    "mean_with_sample_weight" weighted means.

    Args:
      focal, ms_ssim, iou, cross_entropy, dice, tversky, cl_dice: Weights, at least 0.
      options: For each term, the arguments of its class that differ from its defaults.
      include_background: Whether class 0 of a softmax takes part in the region terms.
      class_weights: Given to each term; see `SegmentationLoss`.
      from_logits, multi_label, ignore_class, reduction, name, dtype: See `SegmentationLoss`.
    """

    default_name = "hybrid"

    def __init__(
        self,
        focal: float = 1.0,
        ms_ssim: float = 1.0,
        iou: float = 1.0,
        *,
        cross_entropy: float = 0.0,
        dice: float = 0.0,
        tversky: float = 0.0,
        cl_dice: float = 0.0,
        options: Mapping[str, Mapping[str, Any]] | None = None,
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
        self.weights = {
            "focal": focal,
            "ms_ssim": ms_ssim,
            "iou": iou,
            "cross_entropy": cross_entropy,
            "dice": dice,
            "tversky": tversky,
            "cl_dice": cl_dice,
        }
        if min(self.weights.values()) < 0.0 or not any(self.weights.values()):
            raise InputError(
                f"Term weights must be at least 0, and one above 0; received {self.weights}."
            )
        self.include_background = bool(include_background)
        self.options = {term: dict(values) for term, values in (options or {}).items()}
        unknown = sorted(set(self.options) - set(TERMS))
        if unknown:
            raise InputError(f"options names unknown terms {unknown}; known: {sorted(TERMS)}.")
        for term, arguments in self.options.items():
            misplaced = sorted(set(arguments) & set(SHARED))
            if misplaced:
                raise InputError(
                    f"options for {term!r} holds {misplaced}, which all terms share: pass them to "
                    "HybridLoss itself."
                )
        self._terms = {
            term: self._make_term(term) for term, weight in self.weights.items() if weight > 0.0
        }

    def term_values(self, y_true, y_pred, sample_weight=None) -> dict[str, tf.Tensor]:
        """Unweighted loss of each image by term, a dict of (B,) float32 tensors."""
        batch = self._batch(y_true, y_pred, sample_weight)
        return {name: term.image_values(batch) for name, term in self._terms.items()}

    def image_values(self, batch: Batch):
        return tf.add_n(
            [self.weights[name] * term.image_values(batch) for name, term in self._terms.items()]
        )

    def class_values(self, batch: Batch):
        return tf.add_n(
            [self.weights[name] * term.class_values(batch) for name, term in self._terms.items()]
        )

    def get_config(self):
        return {
            **super().get_config(),
            **self.weights,
            "options": self.options,
            "include_background": self.include_background,
        }

    def _make_term(self, term: str) -> SegmentationLoss:
        loss_class = TERMS[term]
        arguments: dict[str, Any] = {"class_weights": self.class_weights}
        if issubclass(loss_class, RegionLoss):
            arguments["include_background"] = self.include_background
        elif self.reduced_to == "mean_with_sample_weight":
            arguments["normalization"] = "weights"
        return loss_class(**{**arguments, **self.options.get(term, {})})
