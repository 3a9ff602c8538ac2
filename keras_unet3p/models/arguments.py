"""What the builders' common arguments mean, checked once for all of them."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from keras_unet3p.compat import layers_around
from keras_unet3p.errors import InputError


def level_filters(filters: int | Sequence[int], depth: int) -> tuple[int, ...]:
    """Channels of every level, finest first.

    A number is the finest level's and doubles at each of `depth` poolings; a sequence is taken as
    it is, and its length decides the depth.
    """
    if isinstance(filters, int | numbers.Integral):  # the latter are NumPy's
        if depth < 1:
            raise InputError(f"depth: expected the number of poolings, 1 or more, found {depth}")
        levels = tuple(int(filters) * 2**level for level in range(depth + 1))
    else:
        levels = tuple(int(value) for value in filters)
    if len(levels) < 2 or min(levels) < 1:
        raise InputError(
            f"filters: expected a positive number, or two or more of them, found {filters!r}"
        )
    return levels


def resolve_activation(classifier_activation: str | None, num_classes: int) -> str | None:
    """ "auto" is "sigmoid" for one class and "softmax" for more."""
    if num_classes < 1:
        raise InputError(f"num_classes: expected 1 or more, found {num_classes}")
    if classifier_activation == "auto":
        return "sigmoid" if num_classes == 1 else "softmax"
    if classifier_activation not in ("sigmoid", "softmax", None):
        raise InputError(
            "classifier_activation: expected 'auto', 'sigmoid', 'softmax' or None, "
            f"found {classifier_activation!r}"
        )
    if classifier_activation == "softmax" and num_classes == 1:
        raise InputError(
            "classifier_activation: a softmax over one class is 1 everywhere; "
            "take 'sigmoid', or num_classes=2"
        )
    return classifier_activation


def resolve_normalization(normalization: Any) -> dict[str, Any] | None:
    """The arguments of `layers.IntensityNormalization`; None stays None.

    From (mean, std), from a mapping or an object that has both, or from a `data.Normalization`,
    which tells the training images' stored values too.
    """
    if normalization is None:
        return None
    if hasattr(normalization, "to_dict"):
        normalization = normalization.to_dict()
    if isinstance(normalization, Mapping):
        names = ("mean", "std", "value_scale", "stored_values")
        return {name: normalization[name] for name in names if name in normalization}
    if hasattr(normalization, "mean") and hasattr(normalization, "std"):
        return {"mean": normalization.mean, "std": normalization.std}
    try:
        mean, std = normalization
    except (TypeError, ValueError):
        raise InputError(
            "normalization: expected (mean, std) or an object with mean and std, "
            f"found {normalization!r}"
        ) from None
    return {"mean": mean, "std": std}


def resolve_input_shape(input_shape: Sequence[int | None]) -> tuple[int | None, int | None, int]:
    """(H, W, C) with the channels known."""
    shape = tuple(input_shape)
    if len(shape) != 3 or shape[2] is None:
        raise InputError(
            "input_shape: expected (height or None, width or None, channels), "
            f"found {input_shape!r}"
        )
    return shape[0], shape[1], int(shape[2])


def check_choice(argument: str, value: Any, choices: Sequence[Any]) -> None:
    """Raises a ValueError that names the argument unless `value` is one of `choices`."""
    if value not in choices:
        raise InputError(f"{argument}: expected one of {tuple(choices)}, found {value!r}")


def check_prefix(image: Any, prefix: str) -> None:
    """Says where the names of a network's layers are taken already by another one's.

    Keras needs unique names in a model. Two networks in a row cannot but be in one model; two on
    one tensor may also become two models.

    Raises:
        ValueError: `image` is made by a network with this prefix.
    """
    first_layers = {f"{prefix}input_size", f"{prefix}pad"}
    before, beside = layers_around(image)
    advice = f"with prefix={prefix!r}; in one model each network needs a prefix of its own"
    if first_layers & before:
        raise InputError(f"prefix: the tensor is made by a network {advice}")
    if first_layers & beside:
        warnings.warn(f"prefix: the tensor already goes into a network {advice}", stacklevel=3)
