"""Masks of images, written as files."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import InputError
from keras_unet3p.files import (
    fitting_name,
    ignores_case,
    locked,
    make_output_folder,
    printable,
    replacing,
    write_csv,
    write_json,
)
from keras_unet3p.images import (
    MASK_FORMATS,
    MAX_PAGES,
    MAX_PIXELS,
    ImageFile,
    Plane,
    check_files,
    list_images,
    open_files,
    pictures,
)
from keras_unet3p.postprocessing import (
    object_outlines,
    object_table,
    outlines_geojson,
    outlines_rois,
)
from keras_unet3p.progress import Progress, reporting
from keras_unet3p.workflow.image_counts import COLUMNS, OF_MICROMETRES, image_count
from keras_unet3p.workflow.mask_file import (
    AUTO,
    MaskFile,
    MaskTarget,
    check_into_zarr,
    is_picture,
    suffix_of_masks,
    suffixes_of_masks,
)
from keras_unet3p.workflow.model_stamp import stamp_of_file, stamp_of_model
from keras_unet3p.workflow.opening import open_model
from keras_unet3p.workflow.prediction_journal import PredictionJournal
from keras_unet3p.workflow.predictor import Predictor

_MOST_OF_8_BITS = 256
OBJECTS = "objects.csv"
COUNTS = "images.csv"
POLYGONS = {"geojson": ".geojson", "imagej": ".rois.zip"}
"""The formats of outlines and the suffixes of their files."""
_JOURNAL = "prediction.journal"


def predict(
    model: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    into_zarr: str | None = None,
    mask_format: str = AUTO,
    overlays: bool = True,
    pixel_size: float | None = None,
    polygons: str | None = None,
    tolerance: float = 0.5,
    tile_size: int = 512,
    test_time_augmentation: int | None = None,
    max_pixels: int = MAX_PIXELS,
    max_pages: int = MAX_PAGES,
    accept_values: bool = False,
    reading: ReadingChoices | None = None,
    progress: Progress = False,
) -> list[Path]:
    """Segment an image file or every image of a folder, at any size.

    Args:
        model: run folder, `.keras` file, exported model, or endpoint URL; see `open_model`, also
            for what follows its network: what was chosen on the run's validation images.
        images: an image file, a multi-page TIFF, or a folder of them.
        out: folder for the masks: `NAME.png` with class ids, or 0 and 255 where there is one class,
            or of a network that tells instances apart the ids of the instances, with 16 bits;
            `NAME_000.png` and so on for a stack. A name that gets too long so is cut, and ends with
            a digest of the whole.
        into_zarr: name of a label image that is written into each OME-Zarr image, `labels/NAME` in
            it, instead of a mask into `out`, which then gets what is beside the masks, if it is
            given.
        mask_format: `"auto"`: of an image's own format, one file with the class ids of all its
            planes: `NAME.zarr`; of pictures and films `NAME.png`, of those of more than 2^26 pixels
            `NAME.tif`, tiled. Or for all of them `"png"`, or `"tiff"`, `NAME.tif`, which holds
            more than 65,535 instances, with 32 bits where an image has so many.
        overlays: write `overlays/NAME.png` too: outlines, and tints that differ between objects
            that touch.
        pixel_size: side of a pixel, micrometres, for the table of objects; None takes what the
            file tells (`images.stored_pixel_size`).
        polygons: writes the objects' outlines too: `"geojson"` as `NAME.geojson`, which QuPath
            reads, `"imagej"` as `NAME.rois.zip`, which ImageJ's ROI Manager opens.
        tolerance: how far the outlines may be simplified, pixels; 0 for all points.
        tile_size: side of the tiles, pixels.
        test_time_augmentation: as `open_model`.
        max_pixels: an image of more pixels is refused, before it is decoded; see `images.Limits`.
        max_pages: so is a file of more images.
        accept_values: warn of images whose stored type or range clearly is not that of the training
            images, instead of refusing them; see `images.check_values`.
        reading: what of the files is read: level, channels, axes, slices; None what the training
            read.
        progress: True shows a bar, or lines in a log; a function is called with how many images are
            done and how many there are.

    A network that tells instances apart also gives `objects.csv`: a row for each object of each
    image, with the columns of `postprocessing.object_table`. An object's number means nothing in
    another image: the same cell has another one in the next frame of a film. `images.csv` has a row
    for each image, with the number of its objects and their mean and median area
    (`image_counts.image_count`).

    An image of more than 2^26 pixels that can be read in windows is segmented window by window
    (`tiling.StreamingPredictor`): it may be larger than the memory, small objects and holes stay,
    and overlay, outlines and rows of the tables are not made of it.

    A killed prediction goes on where it was when it is asked for again: `prediction.journal` in
    `out` tells which masks are done, until all are.

    Returns:
        The paths of the masks.

    Raises:
        ValueError: a file cannot be read, its values or its channels do not fit the model, a mask
            would take its place, two masks would have one name, or `out` is no folder that files
            can be made in.

    Example:
        >>> predict("runs/cells", "images", out="masks")  # doctest: +SKIP
        [PosixPath('masks/a.png'), PosixPath('masks/b.png')]
    """
    if mask_format not in (AUTO, *MASK_FORMATS):
        raise InputError(
            f"mask_format must be one of {[AUTO, *MASK_FORMATS]}, found {mask_format!r}"
        )
    if polygons is not None and polygons not in POLYGONS:
        raise InputError(f"polygons must be one of {[*POLYGONS]} or None, found {polygons!r}")
    if pixel_size is not None and not pixel_size > 0:
        raise InputError(f"pixel_size must be above 0 micrometres, found {pixel_size}")
    if out is None and into_zarr is None:
        raise InputError("out: none given; expected a folder for the masks, or into_zarr")
    files = list_images(images)
    if into_zarr is not None:
        check_into_zarr(files, into_zarr, reading or ReadingChoices())
    if out is not None:
        _check_nothing_is_overwritten(files, Path(out), mask_format)
        out = make_output_folder(out)
        if (out / "overlays").is_dir():
            make_output_folder(out / "overlays")
    predictor = open_model(
        model, tile_size=tile_size, test_time_augmentation=test_time_augmentation
    )
    chosen = predictor.reading_of(images, reading)
    for option, value in (("pixel_size", pixel_size), ("polygons", polygons)):
        if value is not None and predictor.instances is None:
            raise InputError(
                f"{option}: {printable(os.fspath(model))} does not tell instances apart; leave it "
                "out"
            )
    scale = predictor.normalization.value_scale
    stacks, names = open_files(
        files, scale, max_pixels=max_pixels, max_pages=max_pages, reading=chosen
    )
    masks = _mask_files(stacks, names, out, mask_format, into_zarr)
    check_files(stacks.values(), predictor.normalization, accept_values=accept_values)
    results = _Results(predictor, overlays, polygons, tolerance)
    asked = {
        "model": stamp_of_model(model),
        **results.options(),
        "pixel_size": pixel_size,
        "tile_size": tile_size,
        **({"versions": test_time_augmentation} if test_time_augmentation else {}),
        **({"reading": chosen.given()} if chosen.given() else {}),
    }
    written, objects, counts = [], [], []
    with contextlib.ExitStack() as held:
        journal = None
        if out is not None:
            held.enter_context(locked(out / f"{_JOURNAL}.lock", f"out {printable(out)}"))
            journal = PredictionJournal(out / _JOURNAL, asked)
            held.callback(journal.close)
        number = sum(len(mask.names) for mask in masks)
        report = held.enter_context(reporting(progress, number, "segmenting"))
        done = 0
        for mask in masks:
            stamp = [*stamp_of_file(mask.stack.path), mask.first]
            is_one = is_picture(mask.path.suffix)  # a mask, and not those of a stack
            own = [printable(mask.path.name if is_one else name) for name in mask.names]
            rows = None if journal is None else journal.rows(mask.path, stamp)
            if rows is None:
                rows = []
                with mask.opened(chosen, results.dtype) as target:
                    for at, name in enumerate(mask.names):
                        index = mask.first + at
                        size = pixel_size
                        if size is None and predictor.instances is not None:
                            size = mask.stack.pixel_size(index)
                        found = results.write(target, at, mask.stack, index, name, out, size)
                        rows += [{"image": own[at], **row} for row in found]
                        report(done + at + 1, number)
                if journal is not None:
                    journal.record(mask.path, stamp, rows)
            objects += rows
            of_image: dict[str, list[dict[str, Any]]] = {name: [] for name in own}
            for row in rows:
                of_image[row["image"]].append(row)
            counts += [
                image_count(name, of_image[name])
                for at, name in enumerate(own)
                if not results.is_streamed(mask.stack.plane(mask.first + at))
            ]
            written.append(mask.path)
            done += len(mask.names)
            report(done, number)
        if predictor.instances is not None and out is not None:
            # Images may differ in channels where the model leaves their number open.
            columns = dict.fromkeys(name for row in objects for name in row)
            write_csv(out / OBJECTS, list(columns) or ["image", "id"], objects)
            with_size = OF_MICROMETRES if any(OF_MICROMETRES[0] in row for row in counts) else ()
            write_csv(out / COUNTS, [*COLUMNS, *with_size], counts)
        if journal is not None:
            journal.remove()
    return written


class _Results(NamedTuple):
    """What is written of each image."""

    predictor: Predictor
    overlays: bool
    polygons: str | None
    tolerance: float

    def options(self) -> dict[str, Any]:
        """As JSON takes them."""
        values = self._asdict()
        del values["predictor"]
        return values

    def is_streamed(self, plane: Plane | None) -> bool:
        """Whether an image is segmented window by window, and its objects are not measured."""
        return plane is not None and plane.is_large and self.predictor.stream is not None

    @property
    def dtype(self) -> np.dtype:
        """Of labels in a file that holds several planes, whose ids are not known before."""
        if self.predictor.instances is not None:
            return np.dtype(np.uint32)
        many = (self.predictor.num_classes or 1) > _MOST_OF_8_BITS
        return np.dtype(np.uint16 if many else np.uint8)

    def write(
        self,
        target: MaskTarget,
        at: int,
        stack: ImageFile,
        index: int,
        name: str,
        out: Path | None,
        pixel_size: float | None,
    ) -> list[dict[str, Any]]:
        """Write an image's mask and what goes with it; the objects' rows of the table.

        Args:
            target: the mask's file, opened.
            at: the plane's place in it.
            stack, index: the image's.
            name: the image's.
            out: folder for what is beside the mask; None for nothing.
            pixel_size: micrometres.
        """
        predictor, plane = self.predictor, stack.plane(index)
        segment = predictor.stream
        if plane is not None and segment is not None and self.is_streamed(plane):
            plane = predictor.with_its_channels(plane, stack.path)
            if predictor.instances is None:
                is_binary = predictor.num_classes == 1
                run = functools.partial(segment, plane, kind="classes")
                target.stream(at, run, as_picture=is_binary)
            else:
                target.stream_twice(at, functools.partial(segment, plane, kind="instances"))
            return []
        image = predictor.with_its_channels(stack.stored(index), stack.path)
        rows: list[dict[str, Any]] = []
        if predictor.instances is not None:
            labels = predictor.instances(image)
            rows = object_table(labels, image, pixel_size=pixel_size)
            if self.polygons is not None and out is not None:
                self._write_outlines(labels, out, name)
        else:
            labels = predictor.labels(image)
        is_binary = predictor.instances is None and predictor.num_classes == 1
        target.write(at, labels, as_picture=is_binary)
        if self.overlays and out is not None:
            path = out / "overlays" / f"{fitting_name(out, name, suffix='.png')}"
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


def _mask_files(
    stacks: Mapping[str, ImageFile],
    names: Mapping[str, list[str]],
    out: Path | None,
    mask_format: str,
    into_zarr: str | None,
) -> list[MaskFile]:
    """The files of the masks, each of which is a file of its own in `out`."""
    if out is None or into_zarr is not None:
        assert into_zarr is not None, "else there is a folder"
        return [
            MaskFile(stack.path / "labels" / into_zarr, stack, 0, names[stem], into_zarr)
            for stem, stack in stacks.items()
        ]
    folds_case = ignores_case(out)
    masks: list[MaskFile] = []
    origins: dict[str, Path] = {}
    for stem, stack in stacks.items():
        suffix = suffix_of_masks(stack, mask_format)
        endings = [name.removeprefix(stem) for name in names[stem]]
        of_all = not is_picture(suffix)
        files = [""] if of_all else endings
        for first, ending in enumerate(files):
            name = fitting_name(out, stem, suffix=f"{ending}{suffix}")
            own = names[stem] if of_all else [name.removesuffix(suffix)]
            masks.append(MaskFile(out / name, stack, first, own))
            origin = origins.setdefault(name.casefold() if folds_case else name, stack.path)
            if origin != stack.path:
                raise InputError(
                    f"{origin}, {stack.path}: their masks would be one file in {out}, {name}; "
                    "rename a file, or give another out"
                )
    return masks


def _check_nothing_is_overwritten(files: Mapping[str, Path], out: Path, mask_format: str) -> None:
    written = {(out.resolve(), suffix) for suffix in suffixes_of_masks(mask_format)}
    written |= {((out / "overlays").resolve(), ".png")}
    for file in files.values():
        if (file.resolve().parent, file.suffix.lower()) in written:
            raise InputError(f"out: a mask in {out} would take the place of the image {file}")
