"""How stored grey values become the network's input."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.images.stored_values import StoredValues
from keras_unet3p.images.unit_values import VALUE_SCALES, to_unit


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

    With `percentiles`, each image is stretched before: these percentiles of its own unit values
    become 0 and 1 (`images.intensity_range`), and `mean` and `std` are of the stretched values.

    Example:
        >>> rule = Normalization(mean=(0.4,), std=(0.2,), value_scale="255")
        >>> round(float(rule.to_unit(np.full((2, 2, 1), 51.0)).max()), 6)
        0.2
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    value_scale: str = "dtype"
    stored_values: tuple[StoredValues, ...] = ()
    percentiles: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(float(value) for value in self.mean))
        object.__setattr__(self, "std", tuple(float(value) for value in self.std))
        object.__setattr__(self, "stored_values", tuple(self.stored_values))
        if self.percentiles is not None:
            low, high = (float(value) for value in self.percentiles)
            if not 0 <= low < high <= 100:
                raise InputError(
                    f"percentiles are {self.percentiles}; expected two numbers from 0 to 100, the "
                    "second above the first"
                )
            object.__setattr__(self, "percentiles", (low, high))
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
        entries: dict[str, Any] = {
            "mean": list(self.mean),
            "std": list(self.std),
            "value_scale": self.value_scale,
            "stored_values": [values.to_dict() for values in self.stored_values],
        }
        if self.percentiles is not None:
            entries["percentiles"] = list(self.percentiles)
        return entries

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Normalization:
        # Files of earlier versions do not tell the stored values.
        stored = map(StoredValues.from_dict, config.get("stored_values", ()))
        return cls(
            config["mean"],
            config["std"],
            config["value_scale"],
            tuple(stored),
            config.get("percentiles"),
        )

    def to_json(self) -> str:
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Normalization:
        return cls.from_dict(json.loads(text))
