"""What a prediction writes of the images of a file: masks, and what goes beside them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import InputError
from keras_unet3p.files import fitting_name, printable, replacing, reserve_space, write_json
from keras_unet3p.images import ImageFile, Plane, pictures
from keras_unet3p.postprocessing import (
    SliceLinker,
    object_outlines,
    object_table,
    outlines_geojson,
    outlines_rois,
)
from keras_unet3p.workflow.kept_slices import KeptSlices
from keras_unet3p.workflow.mask_file import MaskFile
from keras_unet3p.workflow.predictor import Predictor

POLYGONS = {"geojson": ".geojson", "imagej": ".rois.zip"}
"""The formats of outlines and the suffixes of their files."""
_MOST_OF_8_BITS = 256
_BAND = 1024  # rows of a large mask that are in memory at a time


@dataclasses.dataclass(frozen=True)
class MaskWriter:
    """Segments the images of a file, then writes their masks and what goes with them.

    Attributes:
        predictor: what segments.
        reading: with which the images were read.
        out: folder for what is beside the masks; None for nothing.
        overlays, polygons, tolerance, pixel_size, link_slices: as `prediction.predict`.
    """

    predictor: Predictor
    reading: ReadingChoices
    out: Path | None
    overlays: bool
    polygons: str | None
    tolerance: float
    pixel_size: float | None
    link_slices: float | None

    def options(self) -> dict[str, Any]:
        """What decides what is written, as JSON takes it."""
        names = ("overlays", "polygons", "tolerance", "pixel_size")
        linked = {} if self.link_slices is None else {"link_slices": self.link_slices}
        return {**{name: getattr(self, name) for name in names}, **linked}

    @property
    def _has_instances(self) -> bool:
        return self.predictor.instances is not None

    @property
    def dtype(self) -> np.dtype:
        """Of labels in a file that holds several planes, whose ids are not known before."""
        if self._has_instances:
            return np.dtype(np.uint32)
        many = (self.predictor.num_classes or 1) > _MOST_OF_8_BITS
        return np.dtype(np.uint16 if many else np.uint8)

    def keeps_slices(self, masks: Sequence[MaskFile]) -> bool:
        """Whether labels are kept on the disk until those of all images are there.

        They are where one mask is made of several images, and of large images.
        """
        if self.link_slices is not None or not all(mask.is_picture for mask in masks):
            return True
        indices = [mask.first for mask in masks]
        return any(self._large(masks[0].stack, index) is not None for index in indices)

    def write(
        self,
        masks: Sequence[MaskFile],
        kept: KeptSlices | None,
        report: Callable[[int], object],
    ) -> list[list[dict[str, Any]]]:
        """Segment and write; the rows of the table of objects, for each mask.

        Args:
            masks: those of an image file that are written together.
            kept: where labels are kept, if they are; those that are there already are not made
                again.
            report: called with the number of images that are segmented.
        """
        stack, done = masks[0].stack, 0
        for mask in masks:
            for at in range(len(mask.names)):
                if kept is not None and mask.first + at not in kept:
                    self._segment(stack, mask.first + at, kept)
                done += kept is not None
                report(done)
        slices = _LinkedSlices(stack, self.link_slices)
        rows = []
        names = () if self.predictor.instances is not None else self.predictor.class_names
        for mask in masks:
            of_mask: list[dict[str, Any]] = []
            with mask.opened(self.reading, self.dtype, names) as target:
                for at, name in enumerate(mask.names):
                    own = self.image_name(mask, at)
                    for row in self._write_one(mask, target, at, name, kept, slices):
                        of_mask.append({"image": own, **row})
            rows.append(of_mask)
        return rows

    @staticmethod
    def image_name(mask: MaskFile, at: int) -> str:
        """What tables call an image of a mask: the mask, where it is of this image alone."""
        return printable(mask.path.name if mask.is_picture else mask.names[at])

    def measures(self, stack: ImageFile, index: int) -> bool:
        """Whether an image's objects are measured: not of one that is segmented by windows."""
        return self._large(stack, index) is None

    def _large(self, stack: ImageFile, index: int) -> Plane | None:
        """The image, if it is segmented window by window."""
        plane = stack.plane(index)
        can = plane is not None and plane.is_large and self.predictor.stream is not None
        return plane if can else None

    def _image(self, stack: ImageFile, index: int) -> np.ndarray:
        return self.predictor.with_its_channels(stack.stored(index), stack.path)

    def _labels(self, image: np.ndarray) -> np.ndarray:
        segment = self.predictor.instances or self.predictor.labels
        return segment(image)

    def _segment(self, stack: ImageFile, index: int, kept: KeptSlices) -> None:
        plane = self._large(stack, index)
        if plane is None:
            kept.keep(index, self._labels(self._image(stack, index)))
            return
        assert self.predictor.stream is not None, "it is large"
        plane = self.predictor.with_its_channels(plane, stack.path)
        kind = "instances" if self._has_instances else "classes"
        self.predictor.stream(plane, kept.large(index), kind=kind)

    def _write_one(
        self,
        mask: MaskFile,
        target: Any,
        at: int,
        name: str,
        kept: KeptSlices | None,
        slices: _LinkedSlices,
    ) -> list[dict[str, Any]]:
        stack, index = mask.stack, mask.first + at
        image = None
        if kept is None:
            image = self._image(stack, index)
            labels = self._labels(image)
        else:
            labels = kept.labels(index)
        places, numbers = slices.next(index, labels)
        # As 0 and 255, which viewers show and which `train` reads again.
        binary = mask.is_picture and not self._has_instances and self.predictor.num_classes == 1
        if self._large(stack, index) is not None:
            if numbers is None and binary:
                numbers = np.array([0, 255], np.uint8)
            with _renumbered(labels, numbers, kept) as written:
                target.write(at, written)
            return []
        if numbers is not None:
            labels = numbers[labels]
        target.write(at, labels * np.uint8(255) if binary else labels)
        rows: list[dict[str, Any]] = []
        shown = self.overlays and self.out is not None
        if not (self._has_instances or shown):
            return rows
        if image is None:
            image = self._image(stack, index)
        if self._has_instances:
            size = self.pixel_size or stack.pixel_size(index)
            rows = [{**places, **row} for row in object_table(labels, image, pixel_size=size)]
            if self.polygons is not None and self.out is not None:
                self._write_outlines(labels, self.out, name)
        if self.overlays and self.out is not None:
            path = self.out / "overlays" / f"{fitting_name(self.out, name, suffix='.png')}"
            pictures.write_picture(path, pictures.overlay(image, labels))
        return rows

    def _write_outlines(self, labels: np.ndarray, out: Path, name: str) -> None:
        outlines = object_outlines(labels, tolerance=self.tolerance)
        suffix = POLYGONS[self.polygons or ""]
        path = out / fitting_name(out, name, suffix=suffix)
        if self.polygons == "geojson":
            write_json(path, outlines_geojson(outlines))
        else:
            with replacing(path) as temporary:
                temporary.write_bytes(outlines_rois(outlines))


class _LinkedSlices:
    """Numbers the objects of a file's slices through its volumes, where that is asked for."""

    def __init__(self, stack: ImageFile, min_iou: float | None) -> None:
        self._stack = stack
        self._linker = None if min_iou is None or len(stack) == 1 else SliceLinker(min_iou)
        self._volume: str | None = None
        self._place = 0

    def next(self, index: int, labels: np.ndarray) -> tuple[dict[str, Any], np.ndarray | None]:
        """For the table the names of volume and slice, and what each id becomes; None: itself."""
        if self._linker is None:
            return {}, None
        volume = volume_name(self._stack, index)
        if volume != self._volume:
            self._linker.begin_volume()
            self._volume, self._place = volume, 0
        places = {"volume": volume, "slice": self._place}
        self._place += 1
        return places, self._linker.add(labels).astype(np.int32)


def volume_name(stack: ImageFile, index: int) -> str:
    """The name of the volume that an image of a file is a slice of, for tables.

    Raises:
        ValueError: the file does not tell that its images are slices.

    Example:
        >>> np.save("a.npy", np.zeros((2, 8, 9), np.uint8))
        >>> volume_name(ImageFile("a.npy", reading=ReadingChoices(axes="zyx")), 1)
        'a.npy'
    """
    plane = stack.plane(index)
    if plane is None or plane.volume is None:
        raise InputError(
            f"link_slices: {printable(stack.path)} does not tell that its images are slices of a "
            "volume; say so, axes='zyx' (--axes zyx)"
        )
    of_file = plane.volume.removeprefix(str(plane.path)).strip()
    return printable(f"{stack.path.name} {of_file}".strip())


@contextlib.contextmanager
def _renumbered(
    labels: np.ndarray, numbers: np.ndarray | None, kept: KeptSlices | None
) -> Iterator[np.ndarray]:
    """Labels that are mapped from the disk with other ids, on the disk as well."""
    if numbers is None:
        yield labels
        return
    assert kept is not None, "large labels are kept"
    path = kept.folder / "renumbered.npy"
    written = np.lib.format.open_memmap(path, "w+", numbers.dtype, labels.shape)
    reserve_space(path, path.stat().st_size)
    for top in range(0, len(labels), _BAND):
        written[top : top + _BAND] = numbers[labels[top : top + _BAND]]
    yield written
    del written
    path.unlink()
