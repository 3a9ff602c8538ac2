"""Which pixels of an image layer are segmented, and where the result lies."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.napari_plugin.layer_channels import FirstChannels, StackedChannels

_MICROMETERS = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3}


@dataclasses.dataclass(frozen=True)
class LayerRegion:
    """A box of one level of an image layer, two of whose axes are segmented together.

    The layer's own axis of channels, if it has one, is a single place of the box, which is as long
    as all channels: the result lies on every one of them.

    Attributes:
        data: the level's pixels, an array or anything that is sliced as one; of colours and of
            several layers with an axis of channels behind the layer's.
        start: the box's first pixel, for each axis of the layer.
        stop: the one behind its last.
        axes: the two axes that are rows and columns.
        factors: pixels of level 0 in one of this level, for each axis.
        name: of the layer, or of the layers.
        channel_axis: the axis of `data` that holds channels; None where a pixel is one number.
        is_part: whether the rows and columns are a part of the layer's only.
        is_rgb: whether the channels are those of a colour, with or without opacity.

    Example:
        >>> data = np.arange(60).reshape(3, 4, 5)
        >>> region = LayerRegion(data, (1, 0, 2), (2, 4, 5), (1, 2), (1.0, 1.0, 1.0), "a")
        >>> region.shape, [place for place, _ in region.planes()]
        ((1, 4, 3), [(0,)])
    """

    data: Any
    start: tuple[int, ...]
    stop: tuple[int, ...]
    axes: tuple[int, int]
    factors: tuple[float, ...]
    name: str
    channel_axis: int | None = None
    is_part: bool = False
    is_rgb: bool = False

    @classmethod
    def of(
        cls,
        layer: Any,
        dims: Any,
        *,
        in_view: bool = False,
        all_slices: bool = False,
        channel_axis: int | None = None,
    ) -> LayerRegion:
        """The region that a user asks for.

        Args:
            layer: napari's image layer.
            dims: of its viewer.
            in_view: what the canvas shows, at the level that it shows; otherwise the whole plane,
                at level 0.
            all_slices: of the axes that are not shown every place, instead of the current one.
            channel_axis: the axis of the layer that holds channels; None where it has none besides
                those of colours.

        Raises:
            ValueError: the viewer shows three dimensions, nothing of the layer, or its channels as
                rows or columns.
        """
        if dims.ndisplay != 2:
            raise InputError("the viewer shows 3 dimensions; expected 2: planes are segmented")
        ndim = layer.ndim
        # A layer's axes are the viewer's last ones.
        shown = [axis - (dims.ndim - ndim) for axis in dims.displayed]
        if min(shown) < 0:
            raise InputError(f"layer {layer.name}: it has not both of the axes that are shown")
        if channel_axis in shown:
            raise InputError(
                f"layer {layer.name}: its axis of channels is shown as rows or columns; expected "
                "one with a slider (napari: roll the order of the dimensions)"
            )
        level = _level(layer, in_view)
        data = _pixels(layer, level)
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
        if channel_axis is not None:
            start[channel_axis], stop[channel_axis] = 0, 1
            factors[channel_axis] *= shape[channel_axis]
        is_part = any(start[axis] > 0 or stop[axis] < shape[axis] for axis in shown)
        return cls(
            data,
            tuple(start.tolist()),
            tuple(stop.tolist()),
            (shown[0], shown[1]),
            tuple(factors.tolist()),
            layer.name,
            ndim if layer.rgb else channel_axis,
            is_part,
            bool(layer.rgb),
        )

    @classmethod
    def of_channels(
        cls, layers: Sequence[Any], dims: Any, *, in_view: bool = False, all_slices: bool = False
    ) -> LayerRegion:
        """The region of several layers, each of which is a channel.

        Args:
            layers: napari's image layers, in the order of the model's channels.
            dims, in_view, all_slices: as of `of`. What is in view is asked of the first layer that
                is visible.

        Raises:
            ValueError: as of `of`; or there are fewer than two layers, or they do not go together.
        """
        if len(layers) < 2:
            raise InputError(
                f"channels: image layers selected: {len(layers)}; expected two or more, one for "
                "each channel of the model"
            )
        first = layers[0]
        for layer in layers:
            if layer.rgb:
                raise InputError(f"layer {layer.name}: it has colours; expected a single channel")
            for what, found, expected in (
                ("shape", _shapes(layer), _shapes(first)),
                ("type", np.dtype(layer.dtype), np.dtype(first.dtype)),
            ):
                if found != expected:
                    raise InputError(
                        f"layer {layer.name}: its {what} is {found}, and that of {first.name} is "
                        f"{expected}; expected channels of one image"
                    )
            if not np.allclose(_corners(layer), _corners(first)):
                raise InputError(f"layer {layer.name} does not lie on {first.name}")
        leading = next((layer for layer in layers if layer.visible), first)
        region = cls.of(leading, dims, in_view=in_view, all_slices=all_slices)
        level = _level(leading, in_view)
        return dataclasses.replace(
            region,
            data=StackedChannels(tuple(_pixels(layer, level) for layer in layers)),
            channel_axis=first.ndim,
            name=" + ".join(layer.name for layer in layers),
        )

    def without_opacity(self) -> LayerRegion:
        """This region; of a colour with opacity only the colour."""
        if not self.is_rgb or self.data.shape[-1] != 4:
            return self
        return dataclasses.replace(self, data=FirstChannels(self.data, 3))

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
        others = self._others()
        for place in itertools.product(*(range(self.shape[axis]) for axis in others)):
            index = list(self.start)
            for axis, offset in zip(others, place, strict=True):
                index[axis] += offset
            yield place, LayerPlane(self, tuple(index))

    def plane_of(self, result: np.ndarray, place: Sequence[int]) -> np.ndarray:
        """The view (rows, columns) of a result at one of the `planes`."""
        index: list[Any] = [0] * len(self.start)
        index[self.axes[0]] = index[self.axes[1]] = slice(None)
        for axis, at in zip(self._others(), place, strict=True):
            index[axis] = at
        plane = result[tuple(index)]
        return plane if self.axes[0] < self.axes[1] else plane.T

    def _others(self) -> list[int]:
        """The axes that are neither rows, columns nor channels."""
        own = {*self.axes, self.channel_axis}
        return [axis for axis in range(len(self.start)) if axis not in own]

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
        >>> region = LayerRegion(data, (1, 0, 2), (2, 4, 5), (1, 2), (1.0, 1.0, 1.0), "a")
        >>> (_, plane), = region.planes()
        >>> plane.shape, plane[:1, 1:].tolist()
        ((4, 3, 1), [[[23], [24]]])
    """

    region: LayerRegion
    index: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        axis = self.region.channel_axis
        return (*self.region.size, 1 if axis is None else self.region.data.shape[axis])

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.region.data.dtype)

    def __getitem__(self, window: slice | tuple[slice, ...]) -> np.ndarray:
        given = window if isinstance(window, tuple) else (window,)
        rows, columns = (*given, slice(None))[:2]
        region, index = self.region, list[Any](self.index)
        for axis, part in zip(region.axes, (rows, columns), strict=True):
            first = region.start[axis]
            begin, end, _ = part.indices(region.shape[axis])
            index[axis] = slice(first + begin, first + end)
        channels = len(index) if region.channel_axis is None else region.channel_axis
        if channels < len(index):
            index[channels] = slice(None)
        pixels = np.asarray(region.data[tuple(index)])
        if region.channel_axis is None:
            pixels = pixels[..., np.newaxis]
        wanted = (*region.axes, channels)
        return pixels.transpose([sorted(wanted).index(axis) for axis in wanted])


def _level(layer: Any, in_view: bool) -> int:
    return layer.data_level if layer.multiscale and in_view else 0


def _pixels(layer: Any, level: int) -> Any:
    return layer.data[level] if layer.multiscale else layer.data


def _shapes(layer: Any) -> tuple[Any, ...]:
    """Of the pixels; of a pyramid, of each level."""
    if not layer.multiscale:
        return tuple(layer.data.shape)
    return tuple(tuple(level.shape) for level in layer.data)


def _corners(layer: Any) -> np.ndarray:
    """Where the first pixel and its neighbours are in the world."""
    places = np.vstack([np.zeros(layer.ndim), np.eye(layer.ndim)])
    return np.array([layer.data_to_world(place) for place in places])


def _shear_matrix(shear: np.ndarray, ndim: int) -> np.ndarray:
    """napari tells a shear as the matrix, or as what stands above its diagonal."""
    shear = np.asarray(shear)
    if shear.ndim == 2:
        return shear
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, 1)] = shear
    return matrix
