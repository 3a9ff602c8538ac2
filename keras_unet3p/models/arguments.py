"""What the builders' common arguments mean, checked once for all of them."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np

from keras_unet3p.compat import layers_around
from keras_unet3p.errors import InputError

Numbers = float | Sequence[float] | np.ndarray
"""A number, or one for each channel."""


class Constants(Protocol):
    """An object that tells mean and standard deviation, such as `images.Normalization`."""

    @property
    def mean(self) -> Any: ...

    @property
    def std(self) -> Any: ...


NormalizationLike = tuple[Numbers, Numbers] | Mapping[str, Any] | Constants
InitializerLike = str | dict[str, Any] | keras.initializers.Initializer
RegularizerLike = str | dict[str, Any] | keras.regularizers.Regularizer | Callable[[Any], Any]

DEPTH = 4
"""Poolings of the papers' networks."""


def level_filters(filters: int | Sequence[int], depth: int | None) -> tuple[int, ...]:
    """Channels of every level, finest first.

    A number is the finest level's and doubles at each of `depth` poolings, four if not given; a
    sequence is taken as it is, and is one longer than the depth.
    """
    if depth is not None and (not isinstance(depth, numbers.Integral) or depth < 1):
        raise InputError(f"depth: expected the number of poolings, 1 or more, found {depth!r}")
    given: Any = filters
    levels: list[Any] = []
    if isinstance(given, numbers.Integral):  # NumPy's too
        poolings = DEPTH if depth is None else int(depth)
        levels = [int(given) * 2**level for level in range(poolings + 1)]
    elif hasattr(given, "__iter__") and not isinstance(given, str):
        levels = list(given)
    if len(levels) < 2 or not all(isinstance(n, numbers.Integral) and int(n) > 0 for n in levels):
        raise InputError(
            f"filters: expected a positive number, or two or more of them, found {filters!r}"
        )
    if depth is not None and len(levels) != depth + 1:
        raise InputError(
            f"filters, depth: {len(levels)} levels have {len(levels) - 1} poolings between them, "
            f"found filters={filters!r} with depth={depth}; leave depth out"
        )
    return tuple(int(level) for level in levels)


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


def resolve_normalization(normalization: NormalizationLike | None) -> dict[str, Any] | None:
    """The arguments of `layers.IntensityNormalization`; None stays None.

    From (mean, std), from a mapping or an object that has both, or from a `images.Normalization`,
    which tells the training images' stored values too.

    Raises:
        ValueError: it is none of them, or mean or std are no numbers of which a normalisation can
            be made.
    """
    if normalization is None:
        return None
    given: Any = normalization
    found: dict[str, Any]
    if hasattr(given, "to_dict"):
        given = given.to_dict()
    if isinstance(given, Mapping):
        names = ("mean", "std", "value_scale", "stored_values", "percentiles")
        found = {name: given[name] for name in names if name in given}
    elif hasattr(given, "__len__") and len(given) == 2:
        found = dict(zip(("mean", "std"), given, strict=True))
    else:
        found = {name: getattr(given, name) for name in ("mean", "std") if hasattr(given, name)}
    if not found.keys() >= {"mean", "std"}:
        raise InputError(
            "normalization: expected (mean, std) or an object with mean and std, "
            f"found {normalization!r}"
        )
    for name in ("mean", "std"):
        found[name] = _channel_values(f"normalization: {name}", found[name])
    if min(found["std"]) <= 0:
        raise InputError(f"normalization: std must be positive, found {found['std']}")
    return found


def _channel_values(what: str, given: Any) -> list[float]:
    """A number, or one for each channel, as numbers of Python's own."""
    try:
        values = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.ndim > 1 or not values.size or not np.isfinite(values).all():
        raise InputError(
            f"{what}: expected a finite number, or one for each channel, found {given!r}"
        )
    return values.reshape(-1).tolist()


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
        warnings.warn(f"prefix: the tensor already goes into a network {advice}", stacklevel=4)
