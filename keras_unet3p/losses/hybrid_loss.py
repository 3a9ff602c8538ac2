"""Weighted sums of losses, and the one of UNet 3+."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_unet3p import compat
from keras_unet3p.errors import InputError
from keras_unet3p.losses._batch import Batch
from keras_unet3p.losses.focal import Focal
from keras_unet3p.losses.iou import IoU
from keras_unet3p.losses.ms_ssim import MSSSIM
from keras_unet3p.losses.segmentation_loss import REDUCTIONS, SegmentationLoss, made_by_operators

SHARED = ("from_logits", "multi_label", "ignore_class", "reduced_to", "dtype")
"""What the losses of a sum must agree in."""


@made_by_operators
@compat.register
class HybridLoss(SegmentationLoss):
    """Weighted sum of losses; by default focal + MS-SSIM + IoU, equation 5 of UNet 3+.

    These three look at pixels (focal), at patches (MS-SSIM) and at the whole mask (IoU). Any other
    losses of this package can be summed; `0.5 * Dice() + Focal()` makes such a sum too. The value
    is the sum of the values that the losses have by themselves, each with its own reduction.

    A weight map reaches the losses of it that take one: of the paper's the focal loss. The paper's
    focal loss is a mean over the pixels of an image with every reduction, so that the three stay
    comparable; with "mean_with_sample_weight" it is a weighted mean.

    Args:
        losses: `SegmentationLoss`es of one prediction: they agree in `from_logits`, `multi_label`,
            `ignore_class`, `reduction` and `dtype`. The losses of a sum among them take its place.
            None is the paper's three.
        weights: One finite number of at least 0 for each loss; 1 by default.
        include_background, class_weights: For the paper's three: whether class 0 of a softmax takes
            part in MS-SSIM and IoU, and weights of the classes for each loss.
        from_logits, multi_label, ignore_class, reduction, dtype: For the paper's three: see
            `SegmentationLoss`. Losses that are given have their own.
        name: Name of the loss.

    Raises:
        InputError: For losses that do not agree, weights out of range, and options beside losses
            that are given. It is a ValueError.

    Example:
        >>> import numpy as np
        >>> mask, prediction = np.ones((1, 32, 32)), np.full((1, 32, 32, 1), 0.9)
        >>> round(float(HybridLoss()(mask, prediction)), 3)
        0.105
        >>> from keras_unet3p.losses import Dice
        >>> mixture = HybridLoss([Focal(gamma=3.0), Dice()], weights=[1.0, 0.5])
        >>> list(mixture.term_values(mask, prediction))
        ['focal', 'dice']
    """

    default_name = "hybrid"

    def __init__(
        self,
        losses: Sequence[SegmentationLoss] | None = None,
        weights: Sequence[float] | None = None,
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
        common = {
            "from_logits": from_logits,
            "multi_label": multi_label,
            "ignore_class": ignore_class,
            "class_weights": class_weights,
            "reduction": reduction,
            "dtype": dtype,
        }
        self._is_of_the_paper = losses is None
        if losses is None:
            losses = _losses_of_the_paper(include_background, common)
        else:
            _refuse_options({"include_background": include_background, **common})
        self.terms = _weighted_terms(losses, weights)
        first = _checked_to_agree([loss for _, loss in self.terms])
        super().__init__(
            from_logits=first.from_logits,
            multi_label=first.multi_label,
            ignore_class=first.ignore_class,
            reduction=first.reduced_to,
            name=name,
            dtype=first.dtype,
        )

    def readers(self) -> list[SegmentationLoss]:
        return [self] if self._is_of_the_paper else [loss for _, loss in self.terms]

    def term_values(self, y_true, y_pred, sample_weight=None) -> dict[str, tf.Tensor]:
        """Unweighted loss of each image by the name of the loss, (B,) each.

        Of several losses of one name the second is called "name_1", and so on.
        """
        batch = self._batch(y_true, y_pred, sample_weight)
        values: dict[str, tf.Tensor] = {}
        for _, loss in self.terms:
            names = [loss.name, *(f"{loss.name}_{i}" for i in range(1, len(self.terms)))]
            name = next(name for name in names if name not in values)
            values[name] = loss.image_values(batch)
        return values

    def reduced(self, batch: Batch):
        return tf.add_n([weight * loss.reduced(batch) for weight, loss in self.terms])

    def image_values(self, batch: Batch):
        return tf.add_n([weight * loss.image_values(batch) for weight, loss in self.terms])

    def class_values(self, batch: Batch):
        return tf.add_n([weight * loss.class_values(batch) for weight, loss in self.terms])

    def get_config(self) -> dict[str, Any]:
        return {
            "losses": [keras.saving.serialize_keras_object(loss) for _, loss in self.terms],
            "weights": [weight for weight, _ in self.terms],
            "name": self.name,
            # Keras 2's model looks for it here, as it finds that of its own losses.
            "ignore_class": self.ignore_class,
        }

    @classmethod
    def from_config(cls, config):
        losses = [keras.saving.deserialize_keras_object(loss) for loss in config["losses"]]
        return cls(losses, config["weights"], name=config["name"])


def _losses_of_the_paper(
    include_background: bool, common: dict[str, Any]
) -> list[SegmentationLoss]:
    reduction = REDUCTIONS.get(common["reduction"])
    # Else these reductions are over the pixels of all images, and focal loss would outweigh.
    normalization = {"sum": "pixels", "mean_with_sample_weight": "weights"}.get(str(reduction))
    return [
        Focal(normalization=normalization, **common),
        MSSSIM(include_background=include_background, **common),
        IoU(include_background=include_background, **common),
    ]


def _refuse_options(options: dict[str, Any]) -> None:
    """Options beside losses that are given would have no effect."""
    defaults = {
        "include_background": True,
        "from_logits": False,
        "multi_label": False,
        "reduction": "sum_over_batch_size",
    }
    for name, value in options.items():
        default = defaults.get(name)
        if value is not None if default is None else value != default:
            raise InputError(
                f"{name}: losses that are given have their own, found {name}={value!r} beside "
                f"them; give it to each loss"
            )


def _weighted_terms(
    losses: Sequence[SegmentationLoss], weights: Sequence[float] | None
) -> list[tuple[float, SegmentationLoss]]:
    """(weight, loss) of each loss, those of sums among them in the sum's place."""
    weights = [1.0] * len(losses) if weights is None else list(weights)
    if not losses or len(weights) != len(losses):
        raise InputError(
            "losses must hold one or more, and weights one for each; "
            f"received {len(losses)} losses and {len(weights)} weights."
        )
    terms: list[tuple[float, SegmentationLoss]] = []
    for weight, loss in zip(weights, losses, strict=True):
        if not isinstance(loss, SegmentationLoss):
            raise InputError(f"losses must be SegmentationLosses; received {loss!r}.")
        if not (isinstance(weight, numbers.Real) and 0.0 <= weight < math.inf):
            raise InputError(f"A loss's weight must be finite and at least 0; found {weight}.")
        inner = loss.terms if isinstance(loss, HybridLoss) else [(1.0, loss)]
        terms += [(float(weight) * factor, term) for factor, term in inner]
    return terms


def _checked_to_agree(losses: Sequence[SegmentationLoss]) -> SegmentationLoss:
    """The first of the losses, if all of them read the same prediction."""
    first = losses[0]
    for loss in losses[1:]:
        for option in SHARED:
            ours, theirs = getattr(first, option), getattr(loss, option)
            if ours != theirs:
                option = "reduction" if option == "reduced_to" else option
                raise InputError(
                    f"Losses of a sum must agree in {option}; {first.name} has {ours!r}, "
                    f"{loss.name} {theirs!r}."
                )
    return first
