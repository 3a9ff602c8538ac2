"""Which pixels of an image layer are segmented, and where the result lies."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_unet3p.errors import InputError

_MICROMETERS = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3}


@dataclasses.dataclass(frozen=True)
class LayerRegion:
    """A box of one level of an image layer, two of whose axes are segmented together.

    Attributes:
        data: the level's pixels, an array or anything that is sliced as one; for `is_rgb` with an
            axis of channels at the end.
        start: the box's first pixel, for each axis of the layer.
        stop: the one behind its last.
        axes: the two axes that are rows and columns.
        factors: pixels of level 0 in one of this level, for each axis.
        is_rgb: whether `data` has channels.
        name: of the layer.
        is_part: whether the rows and columns are a part of the layer's only.

    Example:
        >>> data = np.arange(60).reshape(3, 4, 5)
        >>> region = LayerRegion(data, (1, 0, 2), (2, 4, 5), (1, 2), (1.0, 1.0, 1.0), False, "a")
        >>> region.shape, [place for place, _ in region.planes()]
        ((1, 4, 3), [(0,)])
    """

    data: Any
    start: tuple[int, ...]
    stop: tuple[int, ...]
    axes: tuple[int, int]
    factors: tuple[float, ...]
    is_rgb: bool
    name: str
    is_part: bool = False

    @classmethod
    def of(
        cls, layer: Any, dims: Any, *, in_view: bool = False, all_slices: bool = False
    ) -> LayerRegion:
        """The region that a user asks for.

        Args:
            layer: napari's image layer.
            dims: of its viewer.
            in_view: what the canvas shows, at the level that it shows; otherwise the whole plane,
                at level 0.
            all_slices: of the axes that are not shown every place, instead of the current one.

        Raises:
            ValueError: the viewer shows three dimensions, or nothing of the layer.
        """
        if dims.ndisplay != 2:
            raise InputError("the viewer shows 3 dimensions; expected 2: planes are segmented")
        ndim = layer.ndim
        # A layer's axes are the viewer's last ones.
        shown = [axis - (dims.ndim - ndim) for axis in dims.displayed]
        if min(shown) < 0:
            raise InputError(f"layer {layer.name}: it has not both of the axes that are shown")
        level = layer.data_level if layer.multiscale and in_view else 0
        data = layer.data[level] if layer.multiscale else layer.data
        factors = np.ones(ndim)
        if layer.multiscale:
            factors = np.asarray(layer.downsample_factors[level], float)[:ndim]
        shape = np.array(data.shape[:ndim])
        start, stop = np.zeros(ndim, int), shape.copy()
        if not all_slices:
            point = np.asarray(layer.world_to_data(dims.point[-ndim:]), float) / factors
            here = np.clip(np.rint(point).astype(int), 0, shape - 1)
            for axis in set(range(ndim)) - set(shown):
                start[axis], stop[axis] = here[axis], here[axis] + 1
        if in_view:
            corners = np.asarray(layer.corner_pixels)
            for axis in shown:
                start[axis] = np.clip(corners[0, axis], 0, shape[axis])
                stop[axis] = np.clip(corners[1, axis] + 1, 0, shape[axis])
        if (stop <= start).any():
            raise InputError(f"layer {layer.name}: nothing of it is in view")
        is_part = any(start[axis] > 0 or stop[axis] < shape[axis] for axis in shown)
        return cls(
            data,
            tuple(start.tolist()),
            tuple(stop.tolist()),
            (shown[0], shown[1]),
            tuple(factors.tolist()),
            bool(layer.rgb),
            layer.name,
            is_part,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result: the layer's axes, without channels."""
        return tuple(stop - start for start, stop in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.shape[self.axes[0]], self.shape[self.axes[1]]

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the first pixel in the level."""
        return self.start[self.axes[0]], self.start[self.axes[1]]

    def planes(self) -> Iterator[tuple[tuple[int, ...], LayerPlane]]:
        """The planes, each with its place on the axes that are not segmented together."""
        others = [axis for axis in range(len(self.start)) if axis not in self.axes]
        for place in itertools.product(*(range(self.shape[axis]) for axis in others)):
            index = list(self.start)
            for axis, offset in zip(others, place, strict=True):
                index[axis] += offset
            yield place, LayerPlane(self, tuple(index))

    def plane_of(self, result: np.ndarray, place: Sequence[int]) -> np.ndarray:
        """The view (rows, columns) of a result at one of the `planes`."""
        index: list[Any] = [slice(None)] * len(self.start)
        others = [axis for axis in range(len(self.start)) if axis not in self.axes]
        for axis, at in zip(others, place, strict=True):
            index[axis] = at
        plane = result[tuple(index)]
        return plane if self.axes[0] < self.axes[1] else plane.T

    def placement(self, layer: Any) -> dict[str, Any]:
        """The arguments of a layer of the result that lies on the pixels it was made of."""
        factors = np.asarray(self.factors)
        # The middle of the level's pixel i is at i f + (f - 1) / 2 of level 0.
        first = np.asarray(self.start) * factors + (factors - 1) / 2
        own = layer._transforms["data2physical"]
        shear = np.diag(1 / factors) @ _shear_matrix(own.shear, len(factors)) @ np.diag(factors)
        return {
            "scale": np.asarray(layer.scale) * factors,
            "translate": np.asarray(own(first)),
            "rotate": own.rotate,
            "shear": shear[np.triu_indices(len(factors), 1)],
            "affine": layer.affine.affine_matrix,
            "units": layer.units,
            "axis_labels": layer.axis_labels,
        }

    def pixel_size(self, layer: Any) -> float | None:
        """Side of a pixel, micrometres, where the layer has units of length and square pixels."""
        units = [str(layer.units[axis]) for axis in self.axes]
        sides = [float(abs(layer.scale[axis])) * self.factors[axis] for axis in self.axes]
        if (
            units[0] != units[1]
            or units[0] not in _MICROMETERS
            or not np.isclose(sides[0], sides[1])
        ):
            return None
        return sides[0] * _MICROMETERS[units[0]]


@dataclasses.dataclass(frozen=True)
class LayerPlane:
    """One plane of a region; windows of it are read when they are asked for.

    It is sliced along rows and columns as an array (H, W, C) is, C = 1 for grey.

    Example:
        >>> data = np.arange(60).reshape(3, 4, 5)
        >>> region = LayerRegion(data, (1, 0, 2), (2, 4, 5), (1, 2), (1.0, 1.0, 1.0), False, "a")
        >>> (_, plane), = region.planes()
        >>> plane.shape, plane[:1, 1:].tolist()
        ((4, 3, 1), [[[23], [24]]])
    """

    region: LayerRegion
    index: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        channels = self.region.data.shape[-1] if self.region.is_rgb else 1
        return (*self.region.size, channels)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.region.data.dtype)

    def __getitem__(self, window: slice | tuple[slice, ...]) -> np.ndarray:
        given = window if isinstance(window, tuple) else (window,)
        rows, columns = (*given, slice(None))[:2]
        index: list[Any] = list(self.index)
        for axis, part in zip(self.region.axes, (rows, columns), strict=True):
            first = self.region.start[axis]
            begin, end, _ = part.indices(self.region.shape[axis])
            index[axis] = slice(first + begin, first + end)
        pixels = np.asarray(self.region.data[tuple(index)])
        if self.region.axes[0] > self.region.axes[1]:
            pixels = np.swapaxes(pixels, 0, 1)
        return pixels if self.region.is_rgb else pixels[..., np.newaxis]


def _shear_matrix(shear: np.ndarray, ndim: int) -> np.ndarray:
    """napari tells a shear as the matrix, or as what stands above its diagonal."""
    shear = np.asarray(shear)
    if shear.ndim == 2:
        return shear
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, 1)] = shear
    return matrix
