"""How stored grey values become the network's input."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

VALUE_SCALES = ("dtype", "unit", "255", "65535", "raw")
_DIVISORS = {"dtype": 1.0, "unit": 1.0, "255": 255.0, "65535": 65535.0, "raw": 1.0}


@dataclasses.dataclass(frozen=True)
class Normalization:
    """The rule that was decided for the training images; evaluation and serving follow it.

    Stored values become *unit* values by `value_scale`:

    - `"dtype"`: bool and integers of 8 or 16 bits, divided by their type's maximum;
    - `"unit"`: values within [0, 1], taken as they are;
    - `"255"`, `"65535"`: values within [0, 255] or [0, 65535], divided by that number;
    - `"raw"`: anything else (negative or larger values), taken as it is.

    All but the first describe floats and integers of 32 or 64 bits; 8 and 16 bit integers are
    divided by their type's maximum under every rule but `"raw"`. `mean` and `std` hold one number a
    channel, in unit values; the model subtracts and divides by them, in a layer of its own.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    value_scale: str = "dtype"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(float(value) for value in self.mean))
        object.__setattr__(self, "std", tuple(float(value) for value in self.std))
        if self.value_scale not in VALUE_SCALES:
            raise ValueError(
                f"value_scale is {self.value_scale!r}; accepted are {', '.join(VALUE_SCALES)}"
            )
        if not self.mean or len(self.mean) != len(self.std):
            raise ValueError(
                f"mean has {len(self.mean)} and std {len(self.std)} entries; "
                "expected one of each for every channel"
            )
        if not np.isfinite(self.mean).all() or not all(0 < value < np.inf for value in self.std):
            raise ValueError(f"mean {self.mean}, std {self.std}: expected finite means and std > 0")

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
        return {"mean": list(self.mean), "std": list(self.std), "value_scale": self.value_scale}

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Normalization:
        return cls(tuple(config["mean"]), tuple(config["std"]), config["value_scale"])

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


def choose_value_scale(dtypes: Sequence[np.dtype], smallest: float, largest: float) -> str:
    """The rule for images of these types whose stored values lie within [smallest, largest]."""
    if all(is_narrow(dtype) for dtype in dtypes):
        return "dtype"
    if smallest >= 0:
        for scale, limit in (("unit", 1.0), ("255", 255.0), ("65535", 65535.0)):
            if largest <= limit:
                return scale
    return "raw"


def to_unit(image: np.ndarray, value_scale: str, name: str) -> np.ndarray:
    image = np.asarray(image)
    if image.dtype.kind not in "biuf":
        raise ValueError(f"{name}: values of type {image.dtype}; expected integers, floats or bool")
    problem = scale_problem(image.dtype, float(image.min()), float(image.max()), value_scale)
    if problem:
        raise ValueError(f"{name}: {problem}")
    scale = divisor(image.dtype, value_scale)
    unit = image.astype(np.float32)
    return unit if scale == 1.0 else unit * np.float32(1.0 / scale)


def scale_problem(dtype: np.dtype, smallest: float, largest: float, value_scale: str) -> str | None:
    """Why stored values do not fit a rule that was decided before, or None where they do."""
    if not np.isfinite([smallest, largest]).all():
        return "values that are not finite; expected finite numbers"
    if is_narrow(dtype) or value_scale == "raw":
        return None
    limit = _DIVISORS[value_scale]
    # Interpolation overshoots by a little; a different scale is off by far more.
    if smallest < -0.5 * limit or largest > 1.5 * limit:
        return (
            f"{dtype} values from {smallest:g} to {largest:g}; expected values within "
            f"[0, {limit:g}], the scale of the images that the normalisation was made for"
        )
    return None
