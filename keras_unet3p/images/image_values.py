"""What the stored values of an image are like, told by most of its pixels."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence

import numpy as np

from keras_unet3p.errors import InputError

_SAMPLE = 50_000
_LOW, _BLACK, _WHITE, _HIGH = 0.1, 0.5, 99.5, 99.9  # percentiles
# An extreme value this many ranges away from all others is a defect, and no network bears it.
_DEFECT = 1e6
_STRAY = 3.0


class ValuesWarning(UserWarning):
    """Stored values that were guessed at, or that are not quite those of the training.

    Example:
        >>> issubclass(ValuesWarning, UserWarning)
        True
    """


@dataclasses.dataclass(frozen=True)
class ImageValues:
    """The stored values of one image.

    Attributes:
        dtype: their type.
        smallest: of all values.
        largest: of all values.
        low: 0.1 percentile of an even sample of pixels. A single pixel never is it.
        black: 0.5 percentile.
        median: of the sample.
        white: 99.5 percentile.
        high: 99.9 percentile. A single pixel never is it.
        whole: whether the sample holds whole numbers only.

    Example:
        >>> values = measure_values(np.arange(1000, dtype=np.uint16).reshape(20, 50), "image")
        >>> values.smallest, values.low, values.largest
        (0.0, 1.0, 999.0)
    """

    dtype: np.dtype
    smallest: float
    largest: float
    low: float
    black: float
    median: float
    white: float
    high: float
    whole: bool


def measure_values(image: np.ndarray, name: str) -> ImageValues:
    """Measure the stored values of an image (height, width[, channels]).

    Raises:
        ValueError: naming `name`: values that are no numbers, not finite, or a few of them more
            than a million times farther out than the range of the others.

    Example:
        >>> measure_values(np.full((4, 4), 7, np.uint8), "image").median
        7.0
    """
    if image.dtype.kind not in "biuf":
        raise InputError(f"{name}: values of type {image.dtype}; expected integers or floats")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise InputError(f"{name}: NaN or infinite values; expected finite numbers")
    if image.ndim == 2:
        image = image[..., np.newaxis]
    sample = _sample_pixels(image.view(np.uint8) if image.dtype.kind == "b" else image)
    low = float(np.percentile(sample, _LOW, method="higher"))
    high = float(np.percentile(sample, _HIGH, method="lower"))
    low, high = min(low, high), max(low, high)  # of two or three values
    black, median, white = np.percentile(sample, (_BLACK, 50.0, _WHITE)).tolist()
    values = ImageValues(
        image.dtype,
        float(image.min()),
        float(image.max()),
        low,
        black,
        median,
        white,
        high,
        image.dtype.kind != "f" or bool((sample == np.rint(sample)).all()),
    )
    _refuse_defects(image, values, name)
    return values


def _sample_pixels(image: np.ndarray) -> np.ndarray:
    """About 50,000 pixels in even steps, which fall on other columns in every row."""
    pixels = image.reshape(-1, image.shape[-1])
    step = max(1, len(pixels) * image.shape[-1] // _SAMPLE)
    while math.gcd(step, image.shape[1]) > 1:
        step += 1
    return pixels[::step]


def _refuse_defects(image: np.ndarray, values: ImageValues, name: str) -> None:
    room = _DEFECT * (values.high - values.low)
    if image.dtype.kind != "f" or room == 0:
        return
    for value in (values.largest, values.smallest):
        if not values.low - room <= value <= values.high + room:
            row, column, _ = np.argwhere(image == image.dtype.type(value))[0].tolist()
            raise InputError(
                f"{name}: the value {value:g} at row {row}, column {column}, where 99.8 % of the "
                f"values lie from {values.low:g} to {values.high:g}; expected no such defects: "
                "replace them, by a neighbour's value or by the nearest of the others"
            )


def clipped_to_most(image: np.ndarray, values: ImageValues) -> np.ndarray:
    """A float image whose stray values are moved to three ranges beyond the others."""
    room = _STRAY * (values.high - values.low)
    if image.dtype.kind != "f" or room == 0:
        return image
    low, high = values.low - room, values.high + room
    inside = low <= values.smallest and values.largest <= high
    return image if inside else np.clip(image, low, high)


def warn_of_guess(rule: str, values: Sequence[ImageValues], name: str) -> None:
    """Say by which evidence a value rule was chosen, where the types alone do not decide it."""
    if rule in ("dtype", "unit"):
        return
    low, high = min(each.low for each in values), max(each.high for each in values)
    smallest = min(each.smallest for each in values)
    largest = max(each.largest for each in values)
    types = ", ".join(sorted({str(each.dtype) for each in values}))
    meaning = "are taken as they are" if rule == "raw" else f"are taken to reach from 0 to {rule}"
    warnings.warn(
        f"{name}: {types} values from {low:g} to {high:g} (0.1 and 99.9 percentiles; "
        f"all from {smallest:g} to {largest:g}) {meaning}. Store integers of 8 or 16 bits, or "
        "floats from 0 to 1, if that is wrong",
        ValuesWarning,
        stacklevel=3,
    )
