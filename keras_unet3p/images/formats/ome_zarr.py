"""OME-Zarr 0.4 and 0.5: images read, labels written, a plane and a chunk at a time."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import InputError, needing
from keras_unet3p.files import printable, replacing
from keras_unet3p.images.formats.band_writer import BandWriter
from keras_unet3p.images.limits import Limits
from keras_unet3p.images.pixel_size import MICROMETRES, square
from keras_unet3p.images.plane import Plane, chosen_channels
from keras_unet3p.images.stacked_axes import CHANNELS, StackedAxes

_LABELS = "labels"
_SMALLEST_LEVEL = 512  # side at which a pyramid ends, where the image has none to follow
_LABEL_CHUNK = 1024


def _library() -> Any:
    with needing("zarr", "images.formats.ome_zarr"):
        return importlib.import_module("zarr")


class ZarrPlane(Plane):
    """A plane of a Zarr array, with the channels that were chosen."""

    def __init__(
        self, path: Path, array: Any, axes: StackedAxes, place: dict[str, int], channels: list[int]
    ) -> None:
        self.path = path
        self._array, self._axes, self._place = array, axes, place
        self._channels = channels if len(channels) < axes.channels else None
        self.shape = (axes.height, axes.width, len(channels))
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        sizes = dict(zip(axes.names, array.chunks, strict=True))
        self.chunk = (sizes["y"], sizes["x"])

    def window(self, rows: slice, columns: slice) -> np.ndarray:
        key = self._axes.key(self._place, rows, columns)
        if self._channels is not None and sum(name in CHANNELS for name in self._axes.names) == 1:
            # Of channels that are not asked for no chunk is read.
            at = next(at for at, name in enumerate(self._axes.names) if name in CHANNELS)
            parts = [
                self._read((*key[:at], slice(c, c + 1), *key[at + 1 :])) for c in self._channels
            ]
            return np.concatenate(parts, axis=-1)
        values = self._read(key)
        return values if self._channels is None else values[..., self._channels]

    def _read(self, key: tuple[int | slice, ...]) -> np.ndarray:
        values = np.asarray(self._array[key]).transpose(self._axes.order())
        values = values.reshape(*values.shape[:2], -1)
        return values.astype(self.dtype, copy=False)


def planes(
    path: Path, reading: ReadingChoices, limits: Limits, *, labels: bool = False
) -> list[Plane]:
    """The planes of an OME-Zarr image, or of a plain Zarr array whose axes are told.

    Args:
        path: folder of an image group, or of a label image.
        reading: level, channels by the names in `omero`, and axes, where the metadata lack them.
        limits: of the number of planes.
        labels: an image group that has one label image gives that one.

    Raises:
        ValueError: it is no image, has no such level or channel, or does not tell its axes.
    """
    image = _Image.open(path, reading, labels=labels)
    axes = image.axes
    count = len(list(axes.places())) if axes.stacked else 1
    limits.check_pages(path, count)
    channels = chosen_channels(reading.channels, image.channel_names, printable(path))
    found: list[Plane] = []
    for number, place in enumerate(axes.places()):
        plane = ZarrPlane(path, image.array, axes, place, channels)
        plane.number = number if count > 1 else None
        plane.limits, plane.pixel_size = limits, image.pixel_size
        plane.slice_spacing = image.slice_spacing
        plane.volume = f"{path} {axes.volume_of(place)}".strip() if axes.is_volume else None
        found.append(plane)
    return found


class _Image:
    """An image group's array of one level, and what its metadata tell of it."""

    def __init__(self, path: Path, array: Any, axes: StackedAxes, multiscale: dict, level: int):
        self.path, self.array, self.axes = path, array, axes
        self.multiscale, self.level = multiscale, level
        self.version = "0.4"
        self.omero: dict[str, Any] = {}
        self.group: Any = None

    @classmethod
    def open(cls, path: Path, reading: ReadingChoices, *, labels: bool = False) -> _Image:
        zarr = _library()
        label = printable(path)
        try:
            node = zarr.open(path, mode="r")
        except Exception as error:
            raise InputError(f"{label}: no Zarr image can be read there ({error})") from error
        if isinstance(node, zarr.Array):
            if reading.axes is None:
                raise InputError(
                    f"{label}: a Zarr array by itself, which does not tell its axes; give them, "
                    "axes='zyx' (--axes zyx) say, or the OME-Zarr image that it is part of"
                )
            return cls(path, node, StackedAxes(reading.axes, node.shape, label), {}, 0)
        if labels and _LABELS in node:
            names = _label_names(node)
            if len(names) != 1:
                raise InputError(
                    f"{label}: {len(names)} label images ({', '.join(map(printable, names))}); "
                    f"give one of them, {label}/{_LABELS}/NAME"
                )
            return cls.open(path / _LABELS / names[0], reading)
        attributes = dict(node.attrs)
        ome = attributes.get("ome", attributes)
        if "multiscales" not in ome:
            raise InputError(f"{label}: {_what_else(node, ome, label)}")
        multiscale = ome["multiscales"][0]
        levels = [each["path"] for each in multiscale.get("datasets", [])]
        # A mask of one level was drawn on the images' level.
        level = 0 if labels and len(levels) == 1 else reading.level
        if level >= len(levels):
            raise InputError(f"{label}: level {level}; it has levels 0 to {len(levels) - 1}")
        try:
            array = node[levels[level]]
        except KeyError:
            raise InputError(f"{label}: its level {level} ({levels[level]}) is not there") from None
        told = multiscale.get("axes", [])
        if not told and reading.axes is None:
            raise InputError(
                f"{label}: OME-Zarr before 0.4, which does not tell its axes; give them, "
                f"axes='{'tczyx'[-array.ndim :]}' (--axes) say"
            )
        names = reading.axes
        if names is None:
            names = "".join(each["name"] if isinstance(each, dict) else each for each in told)
        image = cls(path, array, StackedAxes(names, array.shape, label), multiscale, level)
        image.group = node
        image.version = "0.5" if "ome" in attributes else "0.4"
        image.omero = ome.get("omero", {})
        return image

    @property
    def channel_names(self) -> list[str]:
        told = [str(each.get("label", "")) for each in self.omero.get("channels", [])]
        count = self.axes.channels
        return told if len(told) == count else [""] * count

    def scale(self, level: int) -> list[float]:
        """Along each axis, of a level, in the axes' units."""
        scales = np.ones(len(self.axes.names))
        dataset = self.multiscale["datasets"][level] if self.multiscale else {}
        for owner in (dataset, self.multiscale):
            for each in owner.get("coordinateTransformations", []):
                if each.get("type") == "scale":
                    scales = scales * np.asarray(each["scale"], float)
        return scales.tolist()

    @property
    def pixel_size(self) -> float | None:
        height, width = self._micrometres("y"), self._micrometres("x")
        return None if height is None or width is None else square(width, height)

    @property
    def slice_spacing(self) -> float | None:
        return self._micrometres("z") if self.axes.stacked.endswith("z") else None

    def _micrometres(self, axis: str) -> float | None:
        """From one value to the next along an axis; None where the file does not tell."""
        units = {
            each["name"]: MICROMETRES.get(str(each.get("unit", "")).lower())
            for each in self.multiscale.get("axes", [])
            if isinstance(each, dict)
        }
        unit = units.get(axis)
        if unit is None:
            return None
        return unit * self.scale(self.level)[self.axes.names.index(axis)]


def _label_names(group: Any) -> list[str]:
    attributes = dict(group[_LABELS].attrs)
    return list(attributes.get("ome", attributes).get("labels", []))


def _what_else(group: Any, ome: dict, label: str) -> str:
    """What a group is that is no image, and what is to be given instead."""
    if "plate" in ome:
        wells = [each.get("path", "") for each in ome["plate"].get("wells", [])]
        first = wells[0] if wells else "A/1"
        return f"a plate of {len(wells)} wells; give a field of one, {label}/{first}/0"
    inside = sorted(group.group_keys())
    if inside:
        listed = ", ".join(f"{label}/{printable(name)}" for name in inside[:5])
        return f"a Zarr group that is no image; give one of those in it: {listed}"
    return "a Zarr group without an image (multiscales); expected OME-Zarr 0.4 or 0.5"


class ZarrLabels:
    """Label planes on their way into a label image; made by `label_file`."""

    def __init__(self, group: Any, image: _Image, dtype: np.dtype) -> None:
        self._group, self._image = group, image
        source = image.axes
        self._kept = [at for at, name in enumerate(source.names) if name not in CHANNELS]
        names = "".join(source.names[at] for at in self._kept)
        shape = tuple(source.shape[at] for at in self._kept)
        self._axes = StackedAxes(names, shape, source.label)
        self._places = list(self._axes.places())
        self._array = self._create("0", shape, dtype)

    def plane(self, number: int) -> BandWriter:
        """Where the labels of a plane are assigned to, in windows from top to bottom."""
        place = self._places[number]

        def write(top: int, values: np.ndarray) -> None:
            rows = slice(top, top + len(values))
            if self._axes.names.index("x") < self._axes.names.index("y"):
                values = values.T
            self._array[self._axes.key(place, rows, slice(None))] = values

        size = (self._axes.height, self._axes.width)
        sizes = dict(zip(self._axes.names, self._array.chunks, strict=True))
        return BandWriter(write, size, self._array.dtype, sizes["y"])

    def finish(self, name: str, source: str, class_names: Sequence[str]) -> None:
        """Make the pyramid and write the metadata.

        Args:
            name: of the label image.
            source: path of the image group as the label image's metadata tell it.
            class_names: of the labels from 0 on.
        """
        scales = [self._image.scale(self._image.level)]
        shapes = self._shapes()
        previous = self._array
        for number, shape in enumerate(shapes[1:], start=1):
            array = self._create(str(number), shape, previous.dtype)
            _downsample(previous, array, self._axes)
            previous = array
        own = [scales[0][at] for at in self._kept]
        datasets = [
            {
                "path": str(number),
                "coordinateTransformations": [
                    {
                        "type": "scale",
                        "scale": [
                            unit * full / size
                            for unit, full, size in zip(own, shapes[0], shape, strict=True)
                        ],
                    }
                ],
            }
            for number, shape in enumerate(shapes)
        ]
        kinds = {"t": "time"}
        told = self._image.multiscale.get("axes") or [
            {"name": name, "type": kinds.get(name, "space")} for name in self._image.axes.names
        ]
        multiscale: dict[str, Any] = {
            "name": name,
            "axes": [told[at] for at in self._kept],
            "datasets": datasets,
            "type": "nearest",
        }
        label: dict[str, Any] = {"source": {"image": source}}
        if class_names:
            label["properties"] = [
                {"label-value": value, "class": each} for value, each in enumerate(class_names)
            ]
        if self._image.version == "0.5":
            ome = {"version": "0.5", "multiscales": [multiscale], "image-label": label}
            self._group.attrs.update({"ome": ome})
        else:
            multiscale = {"version": "0.4", **multiscale}
            label = {"version": "0.4", **label}
            self._group.attrs.update({"multiscales": [multiscale], "image-label": label})

    def _create(self, name: str, shape: Sequence[int], dtype: np.dtype) -> Any:
        chunks = [
            min(size, _LABEL_CHUNK) if axis in "yx" else 1
            for axis, size in zip(self._axes.names, shape, strict=True)
        ]
        return self._group.create_array(
            name,
            shape=tuple(shape),
            chunks=tuple(chunks),
            dtype=np.dtype(dtype),
            fill_value=0,
            **({} if self._image.version == "0.5" else {"chunk_key_encoding": _SLASHES}),
        )

    def _shapes(self) -> list[tuple[int, ...]]:
        """Of the pyramid's levels: the image's, from the one that was segmented; else halves."""
        first = self._axes.shape
        image = self._image
        datasets = image.multiscale.get("datasets", [])[image.level :]
        if len(datasets) > 1:
            of_levels = [image.group[each["path"]].shape for each in datasets]
            return [tuple(shape[at] for at in self._kept) for shape in of_levels]
        shapes = [tuple(first)]
        while max(shapes[-1][self._axes.names.index(axis)] for axis in "yx") > _SMALLEST_LEVEL:
            shapes.append(
                tuple(
                    -(-size // 2) if axis in "yx" else size
                    for axis, size in zip(self._axes.names, shapes[-1], strict=True)
                )
            )
        return shapes


_SLASHES = {"name": "v2", "separator": "/"}


def _downsample(source: Any, target: Any, axes: StackedAxes) -> None:
    """Fill a level of a pyramid from the one before, by the nearest label, in bands of chunks."""
    at_y, at_x = axes.names.index("y"), axes.names.index("x")
    nearest = [
        np.minimum((np.arange(small) + 0.5) * large / small, large - 1).astype(int)
        for small, large in zip(target.shape, source.shape, strict=True)
    ]
    step = target.chunks[at_y]
    stacked = [at for at in range(len(axes.names)) if at not in (at_y, at_x)]
    for place in np.ndindex(*(target.shape[at] for at in stacked)):
        for top in range(0, target.shape[at_y], step):
            rows = nearest[at_y][top : top + step]
            read: list[Any] = [slice(None)] * len(axes.names)
            write: list[Any] = [slice(None)] * len(axes.names)
            for at, index in zip(stacked, place, strict=True):
                read[at], write[at] = int(nearest[at][index]), index
            read[at_y] = slice(int(rows[0]), int(rows[-1]) + 1)
            write[at_y] = slice(top, top + len(rows))
            band = np.asarray(source[tuple(read)])
            picked = [rows - rows[0], nearest[at_x]]
            band = band[np.ix_(*(picked if at_y < at_x else picked[::-1]))]
            target[tuple(write)] = band


@contextlib.contextmanager
def label_file(
    path: Path,
    target: Path,
    reading: ReadingChoices,
    dtype: np.dtype,
    class_names: Sequence[str] = (),
) -> Iterator[ZarrLabels]:
    """Context that writes the labels of an image as a label image by itself.

    Args:
        path: the image.
        target: folder of the label image. It appears when it is complete, in the place of an
            earlier one.
        reading: with which the image was read.
        dtype: of the labels.
        class_names: of the labels from 0 on, for the properties in the label image's metadata.
    """
    image = _Image.open(path, reading)
    with replacing(target) as temporary:
        labels = ZarrLabels(_new_group(temporary, image.version), image, dtype)
        yield labels
        source = os.path.relpath(path.resolve(), target.resolve()).replace(os.sep, "/")
        labels.finish(target.stem, source, class_names)
        if target.is_dir():  # a folder does not take the place of another by itself
            os.replace(target, temporary.with_name("earlier"))


@contextlib.contextmanager
def labels_inside(
    path: Path,
    name: str,
    reading: ReadingChoices,
    dtype: np.dtype,
    class_names: Sequence[str] = (),
) -> Iterator[ZarrLabels]:
    """Context that writes the labels of an image into it, as `labels/NAME`.

    Args:
        path: folder of the image group.
        name: of the label image.
        reading, dtype, class_names: as `label_file`.

    Raises:
        ValueError: the image has labels of that name already, or is a plain array.
    """
    image = _Image.open(path, reading)
    check_inside(path, name, reading)
    form = 3 if image.version == "0.5" else 2
    with replacing(path / _LABELS / name) as temporary:
        labels = ZarrLabels(_new_group(temporary, image.version), image, dtype)
        yield labels
        labels.finish(name, "../../", class_names)
    group = _library().open_group(path / _LABELS, mode="a", zarr_format=form)
    ome = dict(dict(group.attrs).get("ome", group.attrs))
    names = list(ome.get("labels", []))
    ome["labels"] = [*names, *([] if name in names else [name])]
    if image.version == "0.5":
        group.attrs.update({"ome": {"version": "0.5", **ome}})
    else:
        group.attrs.update(ome)
    _renew_consolidated(path)


def check_inside(path: Path, name: str, reading: ReadingChoices) -> None:
    """Raise a ValueError where labels of that name cannot be written into an image."""
    if not name or name.startswith(".") or set(name) & set("/\\"):
        raise InputError(f"into_zarr: {printable(name)!r} is no name for a label image")
    if (path / _LABELS / name).exists():
        raise InputError(
            f"into_zarr: {printable(path)} has labels {printable(name)!r} already; give another "
            "name, or remove them"
        )
    if not _Image.open(path, reading).multiscale:
        raise InputError(f"into_zarr: {printable(path)} is an array, not an OME-Zarr image")
    if not os.access(path, os.W_OK):
        raise InputError(f"into_zarr: {printable(path)} cannot be written to")


def _new_group(path: Path, version: str) -> Any:
    zarr = _library()
    return zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)


def _renew_consolidated(path: Path) -> None:
    """Where an image keeps a copy of all its metadata in one place, that copy knows the labels."""
    zarr = _library()
    group = zarr.open_group(path, mode="r")
    if group.metadata.consolidated_metadata is not None:
        zarr.consolidate_metadata(str(path))
