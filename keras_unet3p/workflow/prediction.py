"""Masks of images, written as files."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.files import (
    fitting_name,
    ignores_case,
    make_output_folder,
    printable,
    replacing,
    write_json,
)
from keras_unet3p.images import (
    MAX_PAGES,
    MAX_PIXELS,
    ImageFile,
    check_files,
    list_images,
    name_images,
    pictures,
)
from keras_unet3p.postprocessing import object_outlines, object_table, outlines_geojson
from keras_unet3p.workflow.opening import open_model

OBJECTS = "objects.csv"


def predict(
    model: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    overlays: bool = True,
    pixel_size: float | None = None,
    polygons: str | None = None,
    tolerance: float = 0.5,
    tile_size: int = 512,
    max_pixels: int = MAX_PIXELS,
    max_pages: int = MAX_PAGES,
    accept_values: bool = False,
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
        overlays: write `overlays/NAME.png` too.
        pixel_size: side of a pixel, micrometres, for the table of objects.
        polygons: `"geojson"` writes the objects' outlines too, `NAME.geojson`, which QuPath reads.
        tolerance: how far the outlines may be simplified, pixels; 0 for all points.
        tile_size: side of the tiles, pixels.
        max_pixels: an image of more pixels is refused, before it is decoded; see `images.Limits`.
        max_pages: so is a file of more images.
        accept_values: warn of images whose stored type or range clearly is not that of the training
            images, instead of refusing them; see `images.check_values`.

    A network that tells instances apart also gives `objects.csv`: a row for each object of each
    image, with the columns of `postprocessing.object_table`. An object's number means nothing in
    another image: the same cell has another one in the next frame of a film.

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
    if polygons not in (None, "geojson"):
        raise InputError(f"polygons must be 'geojson' or None, found {polygons!r}")
    if pixel_size is not None and not pixel_size > 0:
        raise InputError(f"pixel_size must be above 0 micrometres, found {pixel_size}")
    files = list_images(images)
    _check_nothing_is_overwritten(files, Path(out))
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
    stacks = {
        stem: ImageFile(
            file,
            value_scale=predictor.normalization.value_scale,
            max_pixels=max_pixels,
            max_pages=max_pages,
        )
        for stem, file in files.items()
    }
    names = name_images(files, {stem: len(stack) for stem, stack in stacks.items()})
    masks = _mask_names(files, names, out)
    check_files(stacks.values(), predictor.normalization, accept_values=accept_values)
    written, objects = [], []
    for stem, stack in stacks.items():
        for index, name in enumerate(masks[stem]):
            image = _with_channels(stack.stored(index), stack.path, predictor.num_channels)
            if predictor.instances is not None:
                labels = predictor.instances(image)
                mask = _as_stored(labels, name)
                rows = object_table(labels, image, pixel_size=pixel_size)
                objects += [{"image": printable(name), **row} for row in rows]
                if polygons is not None:
                    outlines = object_outlines(labels, tolerance=tolerance)
                    path = (out / name).with_suffix(".geojson")
                    write_json(path, outlines_geojson(outlines))
            else:
                labels = predictor.labels(image)
                # As 0 and 255, which viewers show and which `train` reads again.
                mask = labels * np.uint8(255) if predictor.num_classes == 1 else labels
            pictures.write_picture(out / name, mask)
            if overlays:
                overlay = pictures.overlay(image, labels)
                pictures.write_picture(out / "overlays" / name, overlay)
            written.append(out / name)
    if predictor.instances is not None:
        _write_table(out / OBJECTS, objects)
    return written


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        # Images may differ in channels where the model leaves their number open.
        names = dict.fromkeys(name for row in rows for name in row)
        writer = csv.DictWriter(file, list(names) or ["image", "id"])
        writer.writeheader()
        writer.writerows(rows)


def _as_stored(instances: np.ndarray, name: str) -> np.ndarray:
    most = np.iinfo(np.uint16).max
    if instances.max(initial=0) > most:
        raise InputError(
            f"{name}: {instances.max()} instances; a PNG of 16 bits holds {most}; take "
            "open_model(...).instances(image) in a script"
        )
    return instances.astype(np.uint16)


def _mask_names(
    files: Mapping[str, Path], names: Mapping[str, list[str]], out: Path
) -> dict[str, list[str]]:
    """The file names of the masks, each of which is a file of its own in `out`."""
    folds_case = ignores_case(out)
    masks: dict[str, list[str]] = {}
    origins: dict[str, Path] = {}
    for stem, file in files.items():
        endings = [name.removeprefix(stem) for name in names[stem]]
        masks[stem] = [fitting_name(out, stem, suffix=f"{ending}.png") for ending in endings]
        for name in masks[stem]:
            first = origins.setdefault(name.casefold() if folds_case else name, file)
            if first != file:
                raise InputError(
                    f"{first}, {file}: their masks would be one file in {out}, {name}; rename a "
                    "file, or give another out"
                )
    return masks


def _check_nothing_is_overwritten(files: Mapping[str, Path], out: Path) -> None:
    folders = {folder.resolve() for folder in (out, out / "overlays")}
    for file in files.values():
        if file.suffix.lower() == ".png" and file.resolve().parent in folders:
            raise InputError(f"out: a mask in {out} would take the place of the image {file}")


def _with_channels(image: np.ndarray, file: Path, expected: int | None) -> np.ndarray:
    """The image; grey that is stored as a colour of equal parts becomes grey for a model of it."""
    found = image.shape[-1]
    if expected is None or found == expected:
        return image
    if expected == 1 and found in (3, 4) and (image[..., :3] == image[..., :1]).all():
        return image[..., :1]
    raise InputError(
        f"{file}: {found} channels; the model was trained on images of {expected}"
        + (" (grey stored as a colour would do, and this is none)" if expected == 1 else "")
    )
