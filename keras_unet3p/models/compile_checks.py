"""Whether loss and metrics read a network's output as what it is."""

from __future__ import annotations

from typing import Any, TypeGuard

import keras
import tensorflow as tf

from keras_unet3p.errors import InputError
from keras_unet3p.targets.prediction_reader import PredictionReader

_PACKAGE = "keras_unet3p"


def check_compiled(argument: str, given: Any, activation: str | None, num_classes: int) -> None:
    """Raises an InputError where a loss or metric of this package would misread the output.

    None of the mistakes fails by itself: a softmax's class of the highest score is also that of
    its logits, and probabilities lie within the range of logits. Training and scores would be
    wrong, and nothing would say so.

    Args:
        argument: of `compile`, for the message.
        given: what it is: a loss, a metric, or a structure of them. What is not this package's is
            left alone.
        activation: of the network's output, "sigmoid", "softmax" or None for logits.
        num_classes: channels of the output.
    """
    expected = {"from_logits": activation is None}
    if num_classes > 1 and activation is not None:
        expected["multi_label"] = activation == "sigmoid"
    parts = [part for part in tf.nest.flatten(given) if isinstance(part, PredictionReader)]
    for reader in (reader for part in parts for reader in part.readers()):
        wrong = [name for name, value in expected.items() if getattr(reader, name) != value]
        if wrong:
            name = type(reader).__name__
            raise InputError(
                f"{argument}: {name}({_written({key: getattr(reader, key) for key in wrong})}) for "
                f"a network of {num_classes} {'class' if num_classes == 1 else 'classes'} with "
                f"classifier_activation={activation!r}; expected "
                f"{name}({_written({key: expected[key] for key in wrong})})"
            )


def loss_named(name: str) -> Any:
    """The loss that "keras_unet3p>Dice" or "keras_unet3p>DiceLoss" names; other names as they are.

    Keras 2 looks such names up and Keras 3 does not. The registry calls a loss "...Loss" where a
    metric has its name.

    Raises:
        InputError: no loss of this package is called so.
    """
    package, _, short = name.partition(">")
    if package != _PACKAGE:
        return name
    for registered in (f"{name}Loss", name):
        found = keras.saving.get_registered_object(registered)
        if _is_loss(found):
            return found()
    raise InputError(
        f"loss: no loss of keras_unet3p is called {short!r}; expected one of "
        f"{', '.join(_loss_names())}"
    )


def _loss_names() -> list[str]:
    registered = keras.saving.get_custom_objects()
    ours = [value for name, value in registered.items() if name.startswith(f"{_PACKAGE}>")]
    return sorted({value.__name__ for value in ours if _is_loss(value)})


def _is_loss(value: Any) -> TypeGuard[type[keras.losses.Loss]]:
    """Whether it is the class of a loss of this package; their base class is none."""
    return (
        isinstance(value, type)
        and issubclass(value, PredictionReader)
        and issubclass(value, keras.losses.Loss)
        and getattr(value, "default_name", None) is not None
    )


def _written(options: dict[str, bool]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())
