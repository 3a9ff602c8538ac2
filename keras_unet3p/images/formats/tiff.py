"""TIFF, BigTIFF and OME-TIFF in windows: tiles, strips, pyramids, axes as the file tells them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import InputError
from keras_unet3p.files import printable
from keras_unet3p.images.decoding import errors_name, shown_values
from keras_unet3p.images.limits import Limits
from keras_unet3p.images.pixel_size import (
    ome_channel_names,
    stored_pixel_size,
    stored_slice_spacing,
)
from keras_unet3p.images.plane import LARGE, Plane, chosen_channels
from keras_unet3p.images.stacked_axes import CHANNELS, StackedAxes
from keras_unet3p.images.tiff_plan import check_chain, check_page

_WITHIN = "yxs"


@dataclasses.dataclass(frozen=True)
class _Page:
    """Where the tiles or strips of a page lie, and how they are decoded."""

    path: Path
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    keyframe: Any
    decode: Callable[..., tuple]
    tables: bytes | None

    @classmethod
    def of(cls, page: Any, keyframe: Any) -> _Page:
        return cls(
            Path(page.parent.filehandle.path),
            tuple(page.dataoffsets),
            tuple(page.databytecounts),
            keyframe,
            keyframe.decode,
            keyframe.jpegtables,
        )

    @property
    def chunk(self) -> tuple[int, int]:
        frame = self.keyframe
        if frame.is_tiled:
            return frame.tilelength, frame.tilewidth
        return min(frame.rowsperstrip, frame.imagelength) or 1, frame.imagewidth

    @property
    def is_separate(self) -> bool:
        """Whether the samples lie one after the other instead of pixel by pixel."""
        return self.keyframe.planarconfig == 2 and self.keyframe.samplesperpixel > 1

    def window(self, rows: slice, columns: slice) -> np.ndarray:
        """Stored pixels (h, w, samples)."""
        frame = self.keyframe
        if frame.is_memmappable:
            return self._mapped(rows, columns)
        samples = frame.samplesperpixel
        height, width = rows.stop - rows.start, columns.stop - columns.start
        found = np.zeros((height, width, samples), frame.dtype)
        with open(self.path, "rb") as file:
            for top, left, sample, segment in self._segments(file, rows, columns):
                y0, x0 = max(top, rows.start), max(left, columns.start)
                y1 = min(top + segment.shape[0], rows.stop)
                x1 = min(left + segment.shape[1], columns.stop)
                target = found[y0 - rows.start : y1 - rows.start, x0 - columns.start :]
                part = segment[y0 - top : y1 - top, x0 - left : x1 - left]
                target[:, : part.shape[1], sample : sample + part.shape[2]] = part
        return found

    def _segments(
        self, file: Any, rows: slice, columns: slice
    ) -> Iterator[tuple[int, int, int, np.ndarray]]:
        (height, width), frame = self.chunk, self.keyframe
        down = -(-frame.imagelength // height)
        across = -(-frame.imagewidth // width)
        for sample in range(frame.samplesperpixel if self.is_separate else 1):
            for row in range(rows.start // height, -(-rows.stop // height)):
                for column in range(columns.start // width, -(-columns.stop // width)):
                    index = (sample * down + row) * across + column
                    if not self.counts[index]:
                        continue  # a tile that is left out is zeros
                    file.seek(self.offsets[index])
                    data = file.read(self.counts[index])
                    segment, _, shape = self.decode(data, index, jpegtables=self.tables)
                    if segment is not None:
                        segment = segment[0, : shape[1], : shape[2]]
                        yield row * height, column * width, sample, segment

    def _mapped(self, rows: slice, columns: slice) -> np.ndarray:
        frame = self.keyframe
        shape = (frame.imagelength, frame.imagewidth, frame.samplesperpixel)
        if self.is_separate:
            shape = (shape[2], *shape[:2])
        kind = np.dtype(frame.dtype).newbyteorder(frame.parent.byteorder)
        values = np.memmap(self.path, kind, "r", self.offsets[0], shape)
        if self.is_separate:
            values = values.transpose(1, 2, 0)
        return np.array(values[rows, columns])


class TiffPlane(Plane):
    """A plane of a TIFF: one page, or one for each of its channels."""

    def __init__(self, path: Path, pages: list[_Page], labels: bool) -> None:
        self.path, self._pages, self._labels = path, pages, labels
        frame = pages[0].keyframe
        sample = self.window(slice(0, 1), slice(0, 1))
        self.shape = (frame.imagelength, frame.imagewidth, sample.shape[-1])
        self.dtype, self.chunk = sample.dtype, pages[0].chunk

    def window(self, rows: slice, columns: slice) -> np.ndarray:
        with errors_name(self.path):
            parts = [
                shown_values(page.keyframe, page.window(rows, columns), self._labels)
                for page in self._pages
            ]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
        return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


class ChosenChannels(Plane):
    """A plane with some of its channels.

    Args:
        plane: the plane.
        channels: their places.
    """

    def __init__(self, plane: Plane, channels: list[int]) -> None:
        self._plane, self._channels = plane, channels
        self.path, self.dtype, self.chunk = plane.path, plane.dtype, plane.chunk
        self.shape = (*plane.shape[:2], len(channels))

    def window(self, rows: slice, columns: slice) -> np.ndarray:
        return self._plane.window(rows, columns)[..., self._channels]


def has_large(path: Path) -> bool:
    """Whether its images are so large that they are read in windows, and can be."""
    try:
        with tifffile.TiffFile(path) as tiff:
            frame = tiff.pages.first.aspage()  # not the series, which may have thousands of pages
            if frame.imagelength * frame.imagewidth <= LARGE:
                return False
            page = _Page.of(frame, frame)
            if page.chunk[0] * page.chunk[1] > LARGE and not frame.is_memmappable:
                return False
        page.window(slice(0, 1), slice(0, 1))  # the compression is one that is read here
    except Exception:  # what is wrong with it is told by whoever reads it
        return False
    return True


def planes(
    path: Path, reading: ReadingChoices, limits: Limits, *, labels: bool = False
) -> list[Plane]:
    """The planes of a TIFF's first series; of the others in a file none.

    Args:
        path: the file.
        reading: level, channels, and axes, where the file does not tell them.
        limits: of the number of planes, and of what is decoded at once.
        labels: whether palettes give their indices and inverted pages what is stored.

    Raises:
        ValueError: it is damaged, its pages cannot be read by themselves, its axes are others, or
            there is no such level or channel.
    """
    label = printable(path)
    with errors_name(path), tifffile.TiffFile(path) as tiff:
        check_chain(tiff, path, limits)
        series = tiff.series[0]
        levels = list(series.levels)
        wanted = 0 if labels and len(levels) == 1 else reading.level
        if wanted >= len(levels):
            raise InputError(f"{label}: level {wanted}; it has levels 0 to {len(levels) - 1}")
        level = levels[wanted]
        axes = StackedAxes(_names(level, reading, label), level.shape, label)
        places = list(axes.places())
        limits.check_pages(path, len(places))
        pages = _pages_by_place(level, axes, label, path, limits)
        names = ome_channel_names(tiff.ome_metadata) if tiff.is_ome else []
        size = stored_pixel_size(path)
        factor = series.shape[series.axes.index("X")] / level.shape[level.axes.index("X")]
        size = None if size is None else float(f"{size * factor:.6g}")
        spacing = stored_slice_spacing(path) if axes.stacked.endswith("z") else None
    found: list[Plane] = []
    is_volume = axes.is_volume and (reading.axes is not None or _is_told(level.axes))
    for number, place in enumerate(places):
        with errors_name(path):
            plane: Plane = TiffPlane(path, pages[number], labels)
        if reading.channels is not None:
            count = plane.shape[2]
            known = names if len(names) == count else [""] * count
            plane = ChosenChannels(plane, chosen_channels(reading.channels, known, label))
        plane.number = number if len(places) > 1 else None
        plane.limits, plane.pixel_size, plane.slice_spacing = limits, size, spacing
        plane.volume = f"{path} {axes.volume_of(place)}".strip() if is_volume else None
        found.append(plane)
    return found


def _names(level: Any, reading: ReadingChoices, label: str) -> str:
    """The axes of a series: those that are given, else those that it tells."""
    told = level.axes.lower()
    if "y" not in told or "x" not in told:
        raise InputError(f"{label}: a TIFF with axes {level.axes}; expected height and width")
    if reading.axes is None:
        return told
    named = reading.axes
    if len(named) == level.ndim - 1 and told.endswith("s"):
        named += "s"  # the samples of a colour are told by every file
    return named


def _is_told(axes: str) -> bool:
    """Whether a file says what its pages are; I and Q are tifffile's letters for unknown."""
    return not set(axes) & set("IQ")


def _pages_by_place(
    level: Any, axes: StackedAxes, label: str, path: Path, limits: Limits
) -> list[list[_Page]]:
    """The pages of each plane: one, or one for each channel that is a page of its own."""
    keyframe = level.keyframe
    split = level.ndim - len(keyframe.shape)
    leading, within = axes.names[:split], axes.names[split:]
    pages = list(level.pages)
    if (
        not set(within) <= set(_WITHIN)
        or len(pages) != int(np.prod(level.shape[:split]))
        or any(page is None for page in pages)
    ):
        raise InputError(
            f"{label}: axes {axes.names!r} for pages of {within or 'another layout'}; its images "
            "do not lie in pages of their own, and are read as a whole only, without level, "
            "channels and axes"
        )
    order = np.arange(len(pages)).reshape(level.shape[:split])
    stacked = [leading.index(name) for name in axes.stacked]
    channels = [at for at in range(split) if leading[at] in CHANNELS]
    order = order.transpose(*stacked, *channels).reshape(-1, _product(order.shape, channels))
    frame = keyframe.aspage()
    check_page(frame, path, limits, whole=False)
    for page in pages:
        ends = zip(page.dataoffsets, page.databytecounts, strict=False)
        if max((o + n for o, n in ends), default=0) > page.parent.filehandle.size:
            raise InputError(f"{label}: truncated; expected a complete TIFF file")
    return [[_Page.of(pages[at], frame) for at in group] for group in order.tolist()]


def _product(shape: tuple[int, ...], axes: list[int]) -> int:
    return int(np.prod([shape[at] for at in axes], dtype=int))
