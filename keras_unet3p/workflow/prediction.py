"""Masks of images, written as files."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import InputError
from keras_unet3p.files import (
    fitting_name,
    ignores_case,
    locked,
    make_output_folder,
    printable,
    write_csv,
)
from keras_unet3p.images import (
    MASK_FORMATS,
    MAX_PAGES,
    MAX_PIXELS,
    ImageFile,
    check_files,
    list_images,
    open_files,
)
from keras_unet3p.postprocessing import volume_table
from keras_unet3p.progress import Progress, reporting
from keras_unet3p.workflow.image_counts import COLUMNS, OF_MICROMETRES, image_count
from keras_unet3p.workflow.image_stamp import stamp_of_image
from keras_unet3p.workflow.kept_slices import KeptSlices
from keras_unet3p.workflow.mask_file import (
    AUTO,
    MaskFile,
    check_into_zarr,
    is_picture,
    suffix_of_masks,
    suffixes_of_masks,
)
from keras_unet3p.workflow.model_stamp import stamp_of_model
from keras_unet3p.workflow.opening import open_model
from keras_unet3p.workflow.prediction_journal import PredictionJournal
from keras_unet3p.workflow.written_masks import POLYGONS, MaskWriter, volume_name

OBJECTS = "objects.csv"
COUNTS = "images.csv"
VOLUME_OBJECTS = "volume_objects.csv"
_JOURNAL = "prediction.journal"
_KEPT = ".slices"


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
    link_slices: float | None = None,
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
        link_slices: gives the objects of a volume's slices one id where they overlap from slice to
            slice with at least this intersection over union, above 0 and at most 1; 0.25 is usual.
            See `postprocessing.SliceLinker` for the rule. None numbers each slice by itself.
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
    another image: the same cell has another one in the next frame of a film, unless `link_slices`
    is given. Then `objects.csv` has the columns `volume` and `slice` too, and
    `volume_objects.csv` a row for each object of each volume, with the columns of
    `postprocessing.volume_table`. `images.csv` has a row for each image, with the number of its
    objects and their mean and median area (`image_counts.image_count`).

    An image of more than 2^26 pixels that can be read in windows is segmented window by window
    (`tiling.StreamingPredictor`): it may be larger than the memory, small objects and holes stay,
    and overlay, outlines and rows of the tables are not made of it.

    A killed prediction goes on where it was when it is asked for again: `prediction.journal` in
    `out` tells which masks are done, until all are. Of a file with one mask for several images, and
    of large images, what is segmented is kept beside the mask until it is complete, in a folder
    `*.slices`: a killed prediction goes on within the file, and within a large image.

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
    if link_slices is not None and not 0 < link_slices <= 1:
        raise InputError(f"link_slices must be above 0 and at most 1, found {link_slices}")
    if out is None and into_zarr is None:
        raise InputError("out: none given; expected a folder for the masks, or into_zarr")
    files = list_images(images)
    if into_zarr is not None and out is None:
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
    for option, value in (
        ("pixel_size", pixel_size),
        ("polygons", polygons),
        ("link_slices", link_slices),
    ):
        if value is not None and predictor.instances is None:
            raise InputError(
                f"{option}: {printable(os.fspath(model))} does not tell instances apart; leave it "
                "out"
            )
    scale = predictor.normalization.value_scale
    stacks, names = open_files(
        files, scale, max_pixels=max_pixels, max_pages=max_pages, reading=chosen
    )
    if link_slices is not None:
        _check_volumes(stacks)
    masks = _mask_files(stacks, names, out, mask_format, into_zarr)
    check_files(stacks.values(), predictor.normalization, accept_values=accept_values)
    writer = MaskWriter(
        predictor, chosen, out, overlays, polygons, tolerance, pixel_size, link_slices
    )
    decisive = {
        "model": stamp_of_model(model),
        "tile_size": tile_size,
        **({"versions": test_time_augmentation} if test_time_augmentation else {}),
        **({"reading": chosen.given()} if chosen.given() else {}),
    }
    written, objects, counts = [], [], []
    with contextlib.ExitStack() as held:
        journal = None
        if out is not None:
            held.enter_context(locked(out / f"{_JOURNAL}.lock", f"out {printable(out)}"))
            journal = PredictionJournal(out / _JOURNAL, {**decisive, **writer.options()})
            held.callback(journal.close)
        stamps = {stack.path: stamp_of_image(stack.path) for stack in stacks.values()}
        known = {
            mask.key: None
            if journal is None
            else journal.rows(mask.path, [*stamps[mask.stack.path], mask.first], mask.key)
            for mask in masks
        }
        if into_zarr is not None:
            left = {mask.key: mask.stack.path for mask in masks if known[mask.key] is None}
            check_into_zarr(left, into_zarr, chosen)
        number = sum(len(mask.names) for mask in masks)
        report = held.enter_context(reporting(progress, number, "segmenting"))
        done = 0
        for group in _groups(masks, link_slices is not None):
            stamp = stamps[group[0].stack.path]
            folder = _kept_folder(group[0], out)
            rows = [known[mask.key] for mask in group]
            if any(each is None for each in rows):
                with contextlib.ExitStack() as of_group:
                    kept = None
                    if writer.keeps_slices(group):
                        kept = KeptSlices(folder, {**decisive, "image": stamp})
                        of_group.enter_context(kept)
                    rows = writer.write(group, kept, lambda n, done=done: report(done + n, number))
                    if journal is not None:
                        for mask, own in zip(group, rows, strict=True):
                            journal.record(mask.path, [*stamp, mask.first], own, mask.key)
                    if kept is not None:
                        kept.remove()
            elif folder.exists():  # a kill came between the record and the removal
                shutil.rmtree(folder, ignore_errors=True)
            for mask, own in zip(group, rows, strict=True):
                objects += own or []
                counts += _counts(writer, mask, own or [])
                written.append(mask.path)
                done += len(mask.names)
            report(done, number)
        if predictor.instances is not None and out is not None:
            _write_tables(out, objects, counts, stacks, link_slices is not None)
        if journal is not None:
            journal.remove()
    return written


def _kept_folder(mask: MaskFile, out: Path | None) -> Path:
    """Where the labels of a file's slices are kept until its masks are written."""
    if out is None:
        return mask.path.with_name(f"{mask.path.name}{_KEPT}")
    name = mask.stack.path.name
    return out / fitting_name(out, f"{name}-{_short(mask.stack.path)}", suffix=_KEPT)


def _short(path: Path) -> str:
    """Tells files of one name in several folders apart."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:8]


def _groups(masks: list[MaskFile], linked: bool) -> list[list[MaskFile]]:
    """The masks that are written together: one, or where slices are linked those of a file."""
    if not linked:
        return [[mask] for mask in masks]
    return [list(group) for _, group in itertools.groupby(masks, key=lambda mask: mask.stack)]


def _check_volumes(stacks: Mapping[str, ImageFile]) -> None:
    """See that each file of several images tells that they are slices, and that there is one."""
    for stack in stacks.values():
        for index in range(len(stack) if len(stack) > 1 else 0):
            volume_name(stack, index)
    if all(len(stack) == 1 for stack in stacks.values()):
        raise InputError(
            "link_slices: each of the images is one by itself; expected volumes, files of several "
            "slices"
        )


def _spacings(stacks: Mapping[str, ImageFile]) -> dict[str, float | None]:
    """Micrometres from one slice to the next, by the volume's name."""
    found: dict[str, float | None] = {}
    for stack in stacks.values():
        for index in range(len(stack) if len(stack) > 1 else 0):
            plane = stack.plane(index)
            found[volume_name(stack, index)] = None if plane is None else plane.slice_spacing
    return found


def _counts(writer: MaskWriter, mask: MaskFile, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each image of a mask whose objects are measured."""
    of_image: dict[str, list[dict[str, Any]]] = {
        writer.image_name(mask, at): []
        for at in range(len(mask.names))
        if writer.measures(mask.stack, mask.first + at)
    }
    for row in rows:
        of_image[row["image"]].append(row)
    return [image_count(name, own) for name, own in of_image.items()]


def _write_tables(
    out: Path,
    objects: list[dict[str, Any]],
    counts: list[dict[str, Any]],
    stacks: Mapping[str, ImageFile],
    linked: bool,
) -> None:
    """The tables of objects: of the images, and of linked slices those of the volumes."""
    # Images may differ in channels where the model leaves their number open.
    columns = dict.fromkeys(name for row in objects for name in row)
    write_csv(out / OBJECTS, list(columns) or ["image", "id"], objects)
    with_size = OF_MICROMETRES if any(OF_MICROMETRES[0] in row for row in counts) else ()
    write_csv(out / COUNTS, [*COLUMNS, *with_size], counts)
    if linked:
        slices = [row for row in objects if "volume" in row]
        rows = volume_table(slices, _spacings(stacks))
        columns = dict.fromkeys(name for row in rows for name in row)
        write_csv(out / VOLUME_OBJECTS, list(columns) or ["volume", "id"], rows)


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
