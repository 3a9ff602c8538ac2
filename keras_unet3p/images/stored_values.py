from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from keras_unet3p.images.image_values import ImageValues

Span = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class StoredValues:
    """What the images of one stored type are like, each told by percentiles of its pixels.

    Attributes:
        dtype: the type, `"uint16"` say.
        images: how many there are.
        low: the smallest and the largest 0.1 percentile of an image, stored values.
        median: likewise of the medians.
        high: likewise of the 99.9 percentiles.

    Example:
        >>> values = ku.images.measure_values(np.full((4, 4), 7, np.uint8), "image")
        >>> str(StoredValues.of([values])[0])
        'uint8 values from 7 to 7'
    """

    dtype: str
    images: int
    low: Span
    median: Span
    high: Span

    @classmethod
    def of(cls, values: Sequence[ImageValues]) -> tuple[StoredValues, ...]:
        """One for each type among the values of images."""
        by_type: dict[str, list[ImageValues]] = {}
        for each in values:
            by_type.setdefault(str(each.dtype), []).append(each)
        return tuple(
            cls(
                dtype,
                len(group),
                _span([each.low for each in group]),
                _span([each.median for each in group]),
                _span([each.high for each in group]),
            )
            for dtype, group in sorted(by_type.items())
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "dtype": self.dtype,
            "images": self.images,
            "low": list(self.low),
            "median": list(self.median),
            "high": list(self.high),
        }

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> StoredValues:
        low, median, high = (
            (float(config[name][0]), float(config[name][1])) for name in ("low", "median", "high")
        )
        return cls(str(config["dtype"]), int(config["images"]), low, median, high)

    def __str__(self) -> str:
        return (
            f"{self.dtype} values from {self.low[0]:g} to {self.high[1]:g}"
            + f" (brightest of an image {self.high[0]:g} to {self.high[1]:g})" * (self.images > 1)
        )


def _span(values: Sequence[float]) -> Span:
    return min(values), max(values)
