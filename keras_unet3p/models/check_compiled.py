"""Whether loss and metrics read a network's output as what it is."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_unet3p import losses
from keras_unet3p.errors import InputError
from keras_unet3p.losses import LossSum, SegmentationLoss
from keras_unet3p.metrics._overlap_metric import OverlapMetric


def check_compiled(argument: str, given: Any, activation: str | None, num_classes: int) -> None:
    """Raises a ValueError where a loss or metric of this package would misread the output.

    None of the mistakes fails by itself: a softmax's class of the highest score is also that of
    its logits, and probabilities lie within the range of logits. Training and scores are then
    quietly wrong.

    Args:
        argument: of `compile`, for the message.
        given: what it is: a loss, a metric, or a structure of them. What is not this package's is
            left alone.
        activation: of the network's output, "sigmoid", "softmax" or None for logits.
        num_classes: channels of the output.
    """
    parts = tf.nest.flatten(given)
    for found in list(parts):
        if isinstance(found, LossSum):
            parts += [loss for _, loss in found.terms]
    for found in parts:
        if isinstance(found, LossSum) or not isinstance(found, (SegmentationLoss, OverlapMetric)):
            continue
        expected = {"from_logits": activation is None}
        if num_classes > 1 and activation is not None:
            expected["multi_label"] = activation == "sigmoid"
        wrong = [name for name, value in expected.items() if getattr(found, name) != value]
        if wrong:
            name = type(found).__name__
            raise InputError(
                f"{argument}: {name}({_written({key: getattr(found, key) for key in wrong})}) for "
                f"a network of {num_classes} {'class' if num_classes == 1 else 'classes'} with "
                f"classifier_activation={activation!r}; expected "
                f"{name}({_written({key: expected[key] for key in wrong})})"
            )


def loss_named(name: str) -> Any:
    """The loss that "keras_unet3p>Dice" or "keras_unet3p>DiceLoss" names; other names as they are.

    Keras 2 looks such names up and Keras 3 does not. The registry calls a loss "...Loss" where a
    metric has its name.
    """
    package, _, short = name.partition(">")
    if package != "keras_unet3p":
        return name
    for registered in (f"{name}Loss", name):
        found = keras.saving.get_registered_object(registered)
        if isinstance(found, type) and issubclass(found, SegmentationLoss):
            return found()
    raise InputError(
        f"loss: no loss of keras_unet3p is called {short!r}; expected one of "
        f"{', '.join(_loss_names())}"
    )


def _loss_names() -> list[str]:
    return sorted(
        name
        for name, value in vars(losses).items()
        if isinstance(value, type)
        and issubclass(value, SegmentationLoss)
        and value is not SegmentationLoss
        and value is not LossSum
    )


def _written(options: dict[str, bool]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())
