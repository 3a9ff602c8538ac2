"""How stored grey values become the network's input."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_unet3p.data.image_values import ImageValues, measure_values
from keras_unet3p.data.stored_values import StoredValues
from keras_unet3p.errors import InputError

VALUE_SCALES = ("dtype", "unit", "255", "65535", "raw")
_DIVISORS = {"dtype": 1.0, "unit": 1.0, "255": 255.0, "65535": 65535.0, "raw": 1.0}
_LEAST_GREY = 16.0


@dataclasses.dataclass(frozen=True)
class Normalization:
    """The rule that was decided for the training images; evaluation and serving follow it.

    Stored values become *unit* values by `value_scale`:

    - `"dtype"`: bool and integers of 8 or 16 bits, divided by their type's maximum;
    - `"unit"`: values within [0, 1], taken as they are;
    - `"255"`, `"65535"`: values within [0, 255] or [0, 65535], divided by that number;
    - `"raw"`: anything else (negative or larger values, fractions of which most lie between 1 and
      16), taken as it is.

    Values are within a range where at most one in a thousand is above it, and one below.

    All but the first describe floats and integers of 32 or 64 bits; 8 and 16 bit integers are
    divided by their type's maximum under every rule but `"raw"`. `mean` and `std` hold one number a
    channel, in unit values; the model subtracts and divides by them, in a layer of its own.
    `stored_values` tells what the training images were like, where that is known, so that images
    of another depth or range are noticed.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    value_scale: str = "dtype"
    stored_values: tuple[StoredValues, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(float(value) for value in self.mean))
        object.__setattr__(self, "std", tuple(float(value) for value in self.std))
        object.__setattr__(self, "stored_values", tuple(self.stored_values))
        if self.value_scale not in VALUE_SCALES:
            raise InputError(
                f"value_scale is {self.value_scale!r}; accepted are {', '.join(VALUE_SCALES)}"
            )
        if not self.mean or len(self.mean) != len(self.std):
            raise InputError(
                f"mean has {len(self.mean)} and std {len(self.std)} entries; "
                "expected one of each for every channel"
            )
        if not np.isfinite(self.mean).all() or not all(0 < value < np.inf for value in self.std):
            raise InputError(f"mean {self.mean}, std {self.std}: expected finite means and std > 0")

    @property
    def num_channels(self) -> int:
        return len(self.mean)

    def to_unit(self, image: np.ndarray, name: str = "image") -> np.ndarray:
        """Stored values to float32 unit values (see the class).

        Raises:
            ValueError: `image` (called `name` in the message) does not fit the rule.
        """
        return to_unit(image, self.value_scale, name)

    def to_dict(self) -> dict[str, Any]:
        return {
            "mean": list(self.mean),
            "std": list(self.std),
            "value_scale": self.value_scale,
            "stored_values": [values.to_dict() for values in self.stored_values],
        }

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Normalization:
        # Files of earlier versions do not tell the stored values.
        stored = map(StoredValues.from_dict, config.get("stored_values", ()))
        return cls(config["mean"], config["std"], config["value_scale"], tuple(stored))

    def to_json(self) -> str:
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Normalization:
        return cls.from_dict(json.loads(text))


def is_narrow(dtype: np.dtype) -> bool:
    """Whether the type's own maximum is the scale: bool and integers of 8 or 16 bits."""
    return dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize <= 2)


def divisor(dtype: np.dtype, value_scale: str) -> float:
    """What stored values of this type are divided by under a rule."""
    if value_scale == "raw" or dtype.kind == "b":
        return 1.0
    if is_narrow(dtype):
        return float(np.iinfo(dtype).max)
    return _DIVISORS[value_scale]


def choose_value_scale(values: Sequence[ImageValues]) -> str:
    """The rule for images of such stored values. Single extreme pixels do not decide it.

    Above 1, floats that are not whole numbers and stay below 16 are no grey values of 8 bits, but
    of a scale of their own.
    """
    if all(is_narrow(each.dtype) for each in values):
        return "dtype"
    low, high = min(each.low for each in values), max(each.high for each in values)
    if low < 0 or high > _DIVISORS["65535"]:
        return "raw"
    if high <= 1:
        return "unit"
    if high < _LEAST_GREY and not all(each.whole for each in values):
        return "raw"
    return "255" if high <= _DIVISORS["255"] else "65535"


def to_unit(image: np.ndarray, value_scale: str, name: str) -> np.ndarray:
    image = np.asarray(image)
    if not is_narrow(image.dtype):  # else every value is possible
        problem = scale_problem(measure_values(image, name), value_scale)
        if problem:
            raise InputError(f"{name}: {problem}")
    scale = divisor(image.dtype, value_scale)
    unit = image.astype(np.float32)
    return unit if scale == 1.0 else unit * np.float32(1.0 / scale)


def scale_problem(values: ImageValues, value_scale: str) -> str | None:
    """Why stored values do not fit a rule that was decided before, or None where they do."""
    if is_narrow(values.dtype) or value_scale == "raw":
        return None
    limit = _DIVISORS[value_scale]
    # Interpolation overshoots by a little; a different scale is off by far more.
    if values.low < -0.5 * limit or values.high > 1.5 * limit:
        return (
            f"{values.dtype} values from {values.low:g} to {values.high:g}; expected values within "
            f"[0, {limit:g}], the scale of the images that the normalisation was made for"
        )
    return None
