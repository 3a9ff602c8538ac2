from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from scipy import ndimage

from keras_unet3p.data.mirroring import mirror_indices, mirrored_crop
from keras_unet3p.errors import InputError

_INTERPOLATIONS = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
_LEAST_SPACING = 9.6  # of grid points, in standard deviations: below it images fold
_FILTER_REACH = 3  # pixels around a position that bicubic interpolation reads, and one


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random changes of shape and of grey values, the same for an image and its labels.

    `augmentation(image, labels, rng)` gives a changed copy. All changes of shape are one mapping of
    coordinates, so an image is interpolated once; labels take the nearest pixel, so ids are never
    mixed; what lies beyond the border is mirrored. Grey values are changed in unit values, all
    channels alike but for the noise. Every amount can be 0, which turns that change off.

    Args:
        elastic_sigma: standard deviation, in pixels, of the displacement vectors of the elastic
            deformation of Ronneberger et al. 2015, section 3.1: Gaussian vectors on a coarse grid,
            brought to every pixel by bicubic (spline) interpolation. The paper's value is 10.
        elastic_grid: vectors a side of that grid, whose outermost ones lie on the corners of the
            image (of the patch, in `training_pipeline`). The paper's value is 3. Closer than 9.6
            `elastic_sigma` apart they would fold the image; on images too small for that (192
            pixels with the paper's values) the grid reaches beyond the corners.
        rotation: largest angle either way, in degrees.
        shift: largest shift either way along each axis, as a share of the side.
        scale: largest change of size: the factor is drawn between 1 / (1 + scale) and 1 + scale,
            evenly in its logarithm.
        flips: mirror along each axis with probability one half.
        gamma: grey values g become g ** f with f between 1 / (1 + gamma) and 1 + gamma.
        brightness: largest amount added, in unit values.
        contrast: largest change of contrast: the distance from the mean is multiplied by a factor
            between 1 / (1 + contrast) and 1 + contrast.
        noise: largest standard deviation of Gaussian noise added to each pixel and channel, in unit
            values; each image draws its own between 0 and this.
        interpolation: `"bicubic"` or `"bilinear"`, for the image.

    Raises:
        ValueError: an amount is negative or not finite, the grid has fewer than 2 points, or the
            interpolation is unknown.

    Example:
        >>> image, labels = np.eye(32, dtype=np.float32), np.eye(32, dtype=int)
        >>> rng = np.random.default_rng(1)
        >>> turned, turned_labels = Augmentation(rotation=90)(image, labels, rng)
        >>> turned.shape, turned_labels.shape
        ((32, 32), (32, 32))
    """

    elastic_sigma: float = 10.0
    elastic_grid: int = 3
    rotation: float = 180.0
    shift: float = 0.05
    scale: float = 0.1
    flips: bool = True
    gamma: float = 0.25
    brightness: float = 0.1
    contrast: float = 0.25
    noise: float = 0.02
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        amounts = ("elastic_sigma", "rotation", "shift", "scale", "gamma", "brightness", "contrast")
        for field in (*amounts, "noise"):
            value = getattr(self, field)
            if not (isinstance(value, int | float) and 0 <= value < math.inf):
                raise InputError(f"{field} is {value!r}; expected a number of at least 0")
        if not isinstance(self.elastic_grid, int) or self.elastic_grid < 2:
            raise InputError(f"elastic_grid is {self.elastic_grid!r}; expected at least 2")
        if self.interpolation not in _INTERPOLATIONS:
            raise InputError(
                f"interpolation is {self.interpolation!r}; accepted are "
                f"{', '.join(_INTERPOLATIONS)}"
            )

    @classmethod
    def none(cls) -> Augmentation:
        """An augmentation that changes nothing."""
        return cls(
            elastic_sigma=0.0,
            rotation=0.0,
            shift=0.0,
            scale=0.0,
            flips=False,
            gamma=0.0,
            brightness=0.0,
            contrast=0.0,
            noise=0.0,
        )

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Augmentation:
        return cls(**config)

    @property
    def changes_shape(self) -> bool:
        return bool(self.elastic_sigma or self.rotation or self.shift or self.scale or self.flips)

    def __call__(
        self, image: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Change an image and its labels.

        Args:
            image: (height, width) or (height, width, channels), float32 unit values.
            labels: (height, width) integers.
            rng: what is drawn from it decides everything.

        Returns:
            Arrays of the same shapes and types.

        Raises:
            ValueError: the shapes do not fit one another or the image is not of floats.
        """
        image, labels = np.asarray(image), np.asarray(labels)
        if image.ndim not in (2, 3) or labels.shape != image.shape[:2]:
            raise InputError(
                f"image {image.shape}, labels {labels.shape}; expected (height, width[, channels]) "
                "and (height, width)"
            )
        if image.dtype.kind != "f":
            raise InputError(f"image of {image.dtype}; expected floats in unit values")
        height, width = labels.shape
        pixels = image.astype(np.float32, copy=False).reshape(height, width, -1)
        moved, moved_labels = self.crop(pixels, labels, 0, 0, height, width, rng)
        changed = self.change_grey(moved, rng)
        return changed.reshape(image.shape).astype(image.dtype, copy=False), moved_labels

    def crop(
        self,
        image: np.ndarray,
        labels: np.ndarray,
        top: int,
        left: int,
        height: int,
        width: int,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """A window of image (H, W, C) and labels (H, W) with the shape changed, interpolated once.

        The window may reach beyond the image, which is mirrored there. The image is of any type
        and comes back in float32 with the values' scale unchanged; values that interpolation
        carries beyond the range of the window's pixels are cut off.
        """
        if not self.changes_shape:
            window = mirrored_crop(image, top, left, height, width).astype(np.float32)
            return window, mirrored_crop(labels, top, left, height, width).copy()
        rows, columns = self._source_positions(height, width, rng)
        rows += np.float32(top)
        columns += np.float32(left)
        first_row, row_range = _needed(rows, image.shape[0])
        first_column, column_range = _needed(columns, image.shape[1])
        rows -= np.float32(first_row)
        columns -= np.float32(first_column)
        source = image[row_range][:, column_range].astype(np.float32)
        moved = _remap(source, columns, rows, _INTERPOLATIONS[self.interpolation])
        np.clip(moved, source.min(), source.max(), out=moved)
        return moved, _remap_labels(labels[row_range][:, column_range], columns, rows)

    def _source_positions(
        self, height: int, width: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """For each pixel of the result, the row and the column in the source that it shows."""
        angle = math.radians(rng.uniform(-self.rotation, self.rotation))
        factor = _factor(self.scale, rng)
        shift = rng.uniform(-self.shift, self.shift, 2) * (height, width)
        mirror = rng.integers(0, 2, 2) * 2.0 - 1.0 if self.flips else (1.0, 1.0)
        centre_row, centre_column = (height - 1) / 2, (width - 1) / 2
        cosine, sine = math.cos(angle) / factor, math.sin(angle) / factor
        y = np.arange(height) - centre_row
        x = np.arange(width) - centre_column
        rows = _plane(y, mirror[0] * cosine, x, -mirror[0] * sine, centre_row + shift[0])
        columns = _plane(y, mirror[1] * sine, x, mirror[1] * cosine, centre_column + shift[1])
        if self.elastic_sigma:
            grid = rng.normal(0.0, self.elastic_sigma, (2, self.elastic_grid, self.elastic_grid))
            spacing = _LEAST_SPACING * self.elastic_sigma
            down, across = displacement_field(grid, height, width, spacing)
            rows += down
            columns += across
        return rows, columns

    def change_grey(
        self,
        image: np.ndarray,
        rng: np.random.Generator,
        value_range: tuple[float, float] = (0.0, 1.0),
        limits: tuple[float, float] = (0.0, 1.0),
    ) -> np.ndarray:
        """Gamma, contrast, brightness and noise, on a float32 image (H, W, C).

        Args:
            image: the image.
            rng: decides everything.
            value_range: the black and the white that the amounts refer to, where an image's values
                occupy but a part of the unit range; values beyond are allowed.
            limits: the result is kept within these.
        """
        if not (self.gamma or self.contrast or self.brightness or self.noise):
            return image
        low, span = value_range[0], value_range[1] - value_range[0]
        exponent, gain = _factor(self.gamma, rng), _factor(self.contrast, rng)
        offset = rng.uniform(-self.brightness, self.brightness)
        deviation = rng.uniform(0.0, self.noise)
        noise_seed = int(rng.integers(1, 1 << 31))
        # As (height, width x channels): OpenCV's arithmetic takes four channels at most.
        unit = np.ascontiguousarray(image, np.float32).reshape(image.shape[0], -1)
        if (low, span) != (0.0, 1.0):
            unit = (unit - np.float32(low)) * np.float32(1.0 / span)
        if self.gamma:
            unit = _power(unit, exponent)
        # One line through the grey values: contrast, brightness, and back to the values' range.
        bias = ((1.0 - gain) * cv2.mean(unit)[0] + offset) * span + low
        changed = cv2.addWeighted(unit, gain * span, unit, 0.0, bias)
        if self.noise:
            noise = np.empty_like(changed)
            cv2.setRNGSeed(noise_seed)  # this thread's generator
            cv2.randn(noise, np.zeros(1), np.full(1, deviation * span))
            changed += noise
        np.clip(changed, *limits, out=changed)
        return changed.reshape(image.shape)


def _power(unit: np.ndarray, exponent: float) -> np.ndarray:
    """Positive values to a power; negative ones, darker than black, stay as they are."""
    if unit.size and unit.min() >= 0.0:
        return cv2.pow(unit, exponent)
    return cv2.pow(np.maximum(unit, 0.0), exponent) + np.minimum(unit, 0.0)


def displacement_field(
    grid: np.ndarray, height: int, width: int, least_spacing: float = 0.0
) -> np.ndarray:
    """Vectors on a coarse grid (2, n, n) to every pixel, (2, height, width) float32.

    Between the grid's points lies a cubic spline through the vectors, as
    `scipy.ndimage.map_coordinates(order=3, mode="mirror")`. The outermost points lie on the corner
    pixels, or beyond them where the points would be closer than `least_spacing` pixels.
    """
    points = grid.shape[1]
    down = _spline_basis(height, points, least_spacing)
    across = _spline_basis(width, points, least_spacing)
    return np.stack([_product(down, vectors @ across.T) for vectors in grid])


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Matrix product in float32, by OpenCV: NumPy's starts threads, which fight over few cores."""
    left, right = left.astype(np.float32), right.astype(np.float32)
    return cv2.gemm(left, right, 1.0, None, 0.0)  # type: ignore[call-overload]


def _plane(
    y: np.ndarray, y_slope: float, x: np.ndarray, x_slope: float, constant: float
) -> np.ndarray:
    """y_slope * y + x_slope * x + constant at every pixel, (height, width) float32."""
    across = np.stack([np.full(x.shape, y_slope), x_slope * x + constant])
    return _product(np.stack([y, np.ones_like(y)], axis=1), across)


@functools.lru_cache(maxsize=64)
def _spline_basis(size: int, points: int, least_spacing: float) -> np.ndarray:
    """(size, points): what each grid point contributes to each pixel along one axis."""
    spacing = max((size - 1) / (points - 1), least_spacing, 1e-6)
    positions = (np.arange(size) - (size - 1) / 2) / spacing + (points - 1) / 2
    columns = [
        ndimage.map_coordinates(unit, positions[np.newaxis], order=3, mode="mirror")
        for unit in np.eye(points)
    ]
    return np.ascontiguousarray(np.stack(columns, axis=1), np.float32)


def _factor(amount: float, rng: np.random.Generator) -> float:
    """Between 1 / (1 + amount) and 1 + amount, evenly in its logarithm."""
    return math.exp(rng.uniform(-1.0, 1.0) * math.log1p(amount))


def _needed(positions: np.ndarray, size: int) -> tuple[int, slice | np.ndarray]:
    """The part of a mirrored axis that holds what is read at these positions: (start, selection).

    Where it ends within the axis nothing is read beyond it, and where it ends with the axis OpenCV
    mirrors there. OpenCV 5 does that once only, and hangs for an axis of one pixel, so an axis
    that has to be mirrored more often is laid out here.
    """
    low = math.floor(positions.min()) - _FILTER_REACH
    high = math.ceil(positions.max()) + _FILTER_REACH
    last = size - 1
    if low < -last or high > 2 * last:
        return low, mirror_indices(low, high + 1, size)
    if low < 0 and high > last:
        return 0, slice(0, size)
    if low < 0:
        return 0, slice(0, min(max(high, -low), last) + 1)
    if high > last:
        start = max(min(low, 2 * last - high), 0)
        return start, slice(start, size)
    return low, slice(low, high + 1)


def _remap(
    image: np.ndarray, columns: np.ndarray, rows: np.ndarray, interpolation: int
) -> np.ndarray:
    """OpenCV's remap of (H, W, C), which takes at most four channels at once."""
    parts = [
        cv2.remap(
            np.ascontiguousarray(image[..., start : start + 4]),
            columns,
            rows,
            interpolation,
            borderMode=cv2.BORDER_REFLECT_101,
        ).reshape(*columns.shape, -1)
        for start in range(0, image.shape[2], 4)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def _remap_labels(labels: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    kind = labels.dtype
    source = np.ascontiguousarray(labels)
    direct = kind in (np.uint8, np.uint16, np.int16)
    if not direct:
        # Nearest neighbour copies bits: any 32-bit pattern survives as a float32.
        source = source.astype(np.int32, copy=False).view(np.float32)
    moved = cv2.remap(source, columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101)
    if not direct:
        moved = moved.view(np.int32).astype(kind, copy=False)
    return moved
