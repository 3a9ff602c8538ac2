"""From stored pixels to unit values: one rule, for files, arrays, tiles and requests.

A served graph does the same to integers (`tiling.in_graph_tiler.to_unit_values`), and gives equal
bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.images.image_values import ImageValues, measure_values

VALUE_SCALES = ("dtype", "unit", "255", "65535", "raw")
_DIVISORS = {"dtype": 1.0, "unit": 1.0, "255": 255.0, "65535": 65535.0, "raw": 1.0}
_LEAST_GREY = 16.0


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


def reciprocal(scale: float) -> np.float32:
    """What float32 values are multiplied by to divide them.

    TensorFlow makes a product of a division by a constant too, when it optimises a graph. The last
    bit may differ from the quotient's.
    """
    return np.float32(1.0 / scale)


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


def scale_in_place(values: np.ndarray, dtype: np.dtype, value_scale: str) -> np.ndarray:
    """Divides float32 values that were stored as `dtype` by the rule's number; returns them."""
    scale = divisor(dtype, value_scale)
    if scale != 1.0:
        values *= reciprocal(scale)
    return values


def scaled(image: np.ndarray, value_scale: str = "unit") -> np.ndarray:
    """Stored pixels as a new float32 array in unit values, without a look at what they are.

    Args:
        image: stored pixels of any type and shape.
        value_scale: the rule; see `Normalization`.

    Example:
        >>> scaled(np.array([0, 51, 255], np.uint8)).round(6).tolist()
        [0.0, 0.20000000298023224, 1.0]
    """
    return scale_in_place(image.astype(np.float32), image.dtype, value_scale)


def as_type(image: np.ndarray, value_scale: str, dtype: np.dtype | type) -> np.ndarray:
    """Stored pixels as a model takes them that was made for pixels of this type.

    Args:
        image: stored pixels.
        value_scale: the rule; see `Normalization`.
        dtype: float32 gets unit values (the stored ones under "raw"), an unsigned integer type its
            whole range for 0 to 1. Pixels of that integer type stay as they are, bit for bit.

    Example:
        >>> as_type(np.array([False, True]), "dtype", np.uint8).tolist()
        [0, 255]
        >>> as_type(np.array([0, 257, 65535], np.uint16), "dtype", np.uint8).tolist()
        [0, 1, 255]
    """
    dtype = np.dtype(dtype)
    if dtype.kind in "iu" and image.dtype == dtype:
        return image
    values = scaled(image, value_scale)
    if dtype.kind not in "iu":
        return values.astype(dtype, copy=False)
    # Interpolation overshoots by a little.
    return np.rint(np.clip(values, 0.0, 1.0) * np.float32(np.iinfo(dtype).max)).astype(dtype)


def to_unit(image: np.ndarray, value_scale: str, name: str = "image") -> np.ndarray:
    """Stored pixels to float32 unit values.

    Args:
        image: stored pixels (height, width[, channels]).
        value_scale: the rule; see `Normalization`.
        name: of the image, for messages.

    Raises:
        ValueError: the values do not fit the rule.

    Example:
        >>> to_unit(np.full((2, 2), 51, np.uint8), "dtype").shape
        (2, 2)
    """
    image = np.asarray(image)
    check_scale(image, value_scale, name)
    return scaled(image, value_scale)


def check_scale(image: np.ndarray, value_scale: str, name: str) -> None:
    """Raise a ValueError, naming `name`, where stored pixels do not fit the rule."""
    if not is_narrow(image.dtype):  # else every value is possible
        problem = scale_problem(measure_values(image, name), value_scale)
        if problem:
            raise InputError(f"{name}: {problem}")


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
