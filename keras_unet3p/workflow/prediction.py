"""Masks of images, written as files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

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
    check_files,
    list_images,
    open_files,
    pictures,
    stored_pixel_size,
    write_labels,
)
from keras_unet3p.postprocessing import (
    object_outlines,
    object_table,
    outlines_geojson,
    outlines_rois,
)
from keras_unet3p.progress import Progress, reporting
from keras_unet3p.workflow.given_channels import with_channels
from keras_unet3p.workflow.model_stamp import stamp_of_file, stamp_of_model
from keras_unet3p.workflow.opening import open_model
from keras_unet3p.workflow.prediction_journal import PredictionJournal
from keras_unet3p.workflow.predictor import Predictor

OBJECTS = "objects.csv"
POLYGONS = {"geojson": ".geojson", "imagej": ".rois.zip"}
"""The formats of outlines and the suffixes of their files."""
_JOURNAL = "prediction.journal"


def predict(
    model: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    mask_format: str = "png",
    overlays: bool = True,
    pixel_size: float | None = None,
    polygons: str | None = None,
    tolerance: float = 0.5,
    tile_size: int = 512,
    max_pixels: int = MAX_PIXELS,
    max_pages: int = MAX_PAGES,
    accept_values: bool = False,
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
        mask_format: `"png"`, or `"tiff"`, `NAME.tif`, which holds more than 65,535 instances, with
            32 bits where an image has so many.
        overlays: write `overlays/NAME.png` too: outlines, and tints that differ between objects
            that touch.
        pixel_size: side of a pixel, micrometres, for the table of objects; None takes what the
            file tells (`images.stored_pixel_size`).
        polygons: writes the objects' outlines too: `"geojson"` as `NAME.geojson`, which QuPath
            reads, `"imagej"` as `NAME.rois.zip`, which ImageJ's ROI Manager opens.
        tolerance: how far the outlines may be simplified, pixels; 0 for all points.
        tile_size: side of the tiles, pixels.
        max_pixels: an image of more pixels is refused, before it is decoded; see `images.Limits`.
        max_pages: so is a file of more images.
        accept_values: warn of images whose stored type or range clearly is not that of the training
            images, instead of refusing them; see `images.check_values`.
        progress: True shows a bar, or lines in a log; a function is called with how many images are
            done and how many there are.

    A network that tells instances apart also gives `objects.csv`: a row for each object of each
    image, with the columns of `postprocessing.object_table`. An object's number means nothing in
    another image: the same cell has another one in the next frame of a film.

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
    if mask_format not in MASK_FORMATS:
        raise InputError(f"mask_format must be one of {[*MASK_FORMATS]}, found {mask_format!r}")
    if polygons is not None and polygons not in POLYGONS:
        raise InputError(f"polygons must be one of {[*POLYGONS]} or None, found {polygons!r}")
    if pixel_size is not None and not pixel_size > 0:
        raise InputError(f"pixel_size must be above 0 micrometres, found {pixel_size}")
    files = list_images(images)
    suffix = MASK_FORMATS[mask_format]
    _check_nothing_is_overwritten(files, Path(out), suffix)
    out = make_output_folder(out)
    if (out / "overlays").is_dir():
        make_output_folder(out / "overlays")
    predictor = open_model(model, tile_size=tile_size)
    for option, value in (("pixel_size", pixel_size), ("polygons", polygons)):
        if value is not None and predictor.instances is None:
            raise InputError(
                f"{option}: {printable(os.fspath(model))} does not tell instances apart; leave it "
                "out"
            )
    scale = predictor.normalization.value_scale
    stacks, names = open_files(files, scale, max_pixels=max_pixels, max_pages=max_pages)
    masks = _mask_names(files, names, out, suffix)
    check_files(stacks.values(), predictor.normalization, accept_values=accept_values)
    results = _Results(predictor, overlays, polygons, tolerance)
    asked = {
        "model": stamp_of_model(model),
        **results.options(),
        "pixel_size": pixel_size,
        "tile_size": tile_size,
    }
    written, objects = [], []
    with contextlib.ExitStack() as held:
        held.enter_context(locked(out / f"{_JOURNAL}.lock", f"out {printable(out)}"))
        journal = PredictionJournal(out / _JOURNAL, asked)
        held.callback(journal.close)
        number = sum(len(of_file) for of_file in masks.values())
        report = held.enter_context(reporting(progress, number, "segmenting"))
        for stem, stack in stacks.items():
            size = pixel_size
            if size is None and predictor.instances is not None:
                size = stored_pixel_size(stack.path)
            for index, name in enumerate(masks[stem]):
                mask, stamp = out / name, [*stamp_of_file(stack.path), index]
                rows = journal.rows(mask, stamp)
                if rows is None:
                    image = stack.stored(index)
                    image = with_channels(image, printable(stack.path), predictor.num_channels)
                    rows = results.write(mask, image, size)
                    journal.record(mask, stamp, rows)
                objects += [{"image": printable(name), **row} for row in rows]
                written.append(mask)
                report(len(written), number)
        if predictor.instances is not None:
            # Images may differ in channels where the model leaves their number open.
            columns = dict.fromkeys(name for row in objects for name in row)
            write_csv(out / OBJECTS, list(columns) or ["image", "id"], objects)
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

    def write(
        self, mask: Path, image: np.ndarray, pixel_size: float | None
    ) -> list[dict[str, Any]]:
        """Write the mask and what goes with it; the objects' rows of the table."""
        rows: list[dict[str, Any]] = []
        if self.predictor.instances is not None:
            labels = self.predictor.instances(image)
            rows = object_table(labels, image, pixel_size=pixel_size)
            stored = labels
            if self.polygons is not None:
                outlines = object_outlines(labels, tolerance=self.tolerance)
                suffix = POLYGONS[self.polygons]
                path = mask.with_name(fitting_name(mask.parent, mask.stem, suffix=suffix))
                if self.polygons == "geojson":
                    write_json(path, outlines_geojson(outlines))
                else:
                    with replacing(path) as temporary:
                        temporary.write_bytes(outlines_rois(outlines))
        else:
            labels = self.predictor.labels(image)
            # As 0 and 255, which viewers show and which `train` reads again.
            stored = labels * np.uint8(255) if self.predictor.num_classes == 1 else labels
        write_labels(mask, stored)
        if self.overlays:
            overlay = pictures.overlay(image, labels)
            pictures.write_picture(mask.parent / "overlays" / f"{mask.stem}.png", overlay)
        return rows


def _mask_names(
    files: Mapping[str, Path], names: Mapping[str, list[str]], out: Path, suffix: str
) -> dict[str, list[str]]:
    """The file names of the masks, each of which is a file of its own in `out`."""
    folds_case = ignores_case(out)
    masks: dict[str, list[str]] = {}
    origins: dict[str, Path] = {}
    for stem, file in files.items():
        endings = [name.removeprefix(stem) for name in names[stem]]
        masks[stem] = [fitting_name(out, stem, suffix=f"{ending}{suffix}") for ending in endings]
        for name in masks[stem]:
            first = origins.setdefault(name.casefold() if folds_case else name, file)
            if first != file:
                raise InputError(
                    f"{first}, {file}: their masks would be one file in {out}, {name}; rename a "
                    "file, or give another out"
                )
    return masks


def _check_nothing_is_overwritten(files: Mapping[str, Path], out: Path, suffix: str) -> None:
    written = {(out.resolve(), suffix), ((out / "overlays").resolve(), ".png")}
    for file in files.values():
        if (file.resolve().parent, file.suffix.lower()) in written:
            raise InputError(f"out: a mask in {out} would take the place of the image {file}")
