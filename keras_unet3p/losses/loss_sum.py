"""A weighted sum of losses."""

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
from keras_unet3p.losses.segmentation_loss import SegmentationLoss

SHARED = ("from_logits", "multi_label", "ignore_class", "reduced_to", "dtype")


@compat.register
class LossSum(SegmentationLoss):
    """Weighted sum of losses, which `0.5 * Dice() + Focal()` makes.

    Its value is the sum of the values that the losses have by themselves. `HybridLoss` is the
    mixture to begin with; this one is for any other.

    Args:
      losses: `SegmentationLoss`es of one prediction: they agree in `from_logits`, `multi_label`,
        `ignore_class`, `reduction` and `dtype`. The losses of a sum among them take its place.
      weights: One finite number of at least 0 for each loss; 1 by default.
      name: Name of the loss.
    Raises:
      ValueError: For losses that do not agree, and weights out of range.
    """

    default_name = "loss_sum"

    def __init__(
        self,
        losses: Sequence[SegmentationLoss],
        weights: Sequence[float] | None = None,
        *,
        name: str | None = None,
    ):
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
            inner = loss.terms if isinstance(loss, LossSum) else [(1.0, loss)]
            terms += [(float(weight) * factor, term) for factor, term in inner]
        first = terms[0][1]
        for _, loss in terms[1:]:
            for option in SHARED:
                ours, theirs = getattr(first, option), getattr(loss, option)
                if ours != theirs:
                    option = "reduction" if option == "reduced_to" else option
                    raise InputError(
                        f"Losses of a sum must agree in {option}; {first.name} has {ours!r}, "
                        f"{loss.name} {theirs!r}."
                    )
        super().__init__(
            from_logits=first.from_logits,
            multi_label=first.multi_label,
            ignore_class=first.ignore_class,
            reduction=first.reduced_to,
            name=name,
            dtype=first.dtype,
        )
        self.terms = terms

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
