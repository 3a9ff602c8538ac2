"""How the masks of two models differ, before one takes the other's place."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_unet3p import metrics
from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import InputError
from keras_unet3p.files import fitting_name, make_output_folder, printable, write_csv
from keras_unet3p.images import (
    MAX_PAGES,
    MAX_PIXELS,
    check_files,
    list_images,
    open_files,
    pictures,
)
from keras_unet3p.workflow.opening import open_model

_TABLE = "comparison.csv"
_DIFFERENT = (255, 0, 90)  # the colour of pixels that differ


class Disagreement(NamedTuple):
    """How far two models disagree on an image.

    Attributes:
        name: of the image.
        pixels: share of the pixels that have another class, or of instances: that are in an object
            for one model alone.
        agreement: of the objects: matched / (matched + those of one model alone) at an IoU of 1/2;
            None of models that do not both tell instances apart.
        first, second: how many objects each finds; None likewise.

    Example:
        >>> Disagreement("a", 0.01, 0.9, 10, 9).pixels
        0.01
    """

    name: str
    pixels: float
    agreement: float | None = None
    first: int | None = None
    second: int | None = None


def compare(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    tile_size: int = 512,
    accept_values: bool = False,
    max_pixels: int = MAX_PIXELS,
    max_pages: int = MAX_PAGES,
    reading: ReadingChoices | None = None,
) -> list[Disagreement]:
    """Segment images with two models and compare their masks; no truth is needed.

    Args:
        first, second: the models, as `open_model` takes them: two versions of an export, two labels
            of an endpoint (`http://HOST:PORT/MODEL/labels/stable` and `.../canary`), a run and its
            export.
        images: an image file or a folder of them.
        out: folder for `comparison.csv` and `pictures/`, the image with the largest disagreement
            first; those of an earlier comparison there are removed. None writes nothing.
        tile_size: side of the tiles of runs and `.keras` files, pixels.
        accept_values: as `predict`.
        max_pixels: as `predict`.
        max_pages: as `predict`.
        reading: as `predict`.

    Returns:
        A `Disagreement` for each image, the largest first: by the objects where both models tell
        instances apart, else by the pixels.

    Raises:
        ValueError: a file cannot be read, or does not fit a model.

    Example:
        >>> compare("models/cells/1", "models/cells/2", "images")  # doctest: +SKIP
        [Disagreement(name='b', pixels=0.012, agreement=0.94, first=17, second=18), ...]
    """
    if out is not None and Path(images).resolve() == (Path(out) / "pictures").resolve():
        raise InputError(f"out: the pictures would be written into the folder of images {images}")
    files = list_images(images)
    folder = None if out is None else make_output_folder(Path(out) / "pictures")
    models = [open_model(model, tile_size=tile_size) for model in (first, second)]
    given = [model.instances for model in models]
    segments = [instances for instances in given if instances is not None]
    numbered = len(segments) == len(models)
    if not numbered:
        segments = [model.labels for model in models]
    scale = models[0].normalization.value_scale
    stacks, names = open_files(
        files,
        scale,
        max_pixels=max_pixels,
        max_pages=max_pages,
        reading=models[0].reading_of(images, reading),
    )
    for model in models:
        check_files(stacks.values(), model.normalization, accept_values=accept_values)
    outdated = [] if folder is None else _earlier_pictures(folder)
    found: list[tuple[Disagreement, Path | None]] = []
    for stem, stack in stacks.items():
        for index, name in enumerate(names[stem]):
            image = stack.stored(index)
            one, other = (
                segment(model.with_its_channels(image, stack.path))
                for model, segment in zip(models, segments, strict=True)
            )
            row = _disagreement(printable(name), one, other, numbered)
            picture = None
            if folder is not None:
                picture = folder / fitting_name(folder, name, suffix=".png")
                pictures.write_picture(picture, _panel(image, one, other, numbered))
            found.append((row, picture))
    found.sort(key=lambda pair: _order(pair[0]), reverse=True)
    rows = [row for row, _ in found]
    if folder is not None:
        for picture in outdated:
            picture.unlink(missing_ok=True)
        table = []
        for rank, (row, picture) in enumerate(found):
            assert picture is not None
            name = fitting_name(folder, picture.stem, prefix=f"{rank:04d}_", suffix=".png")
            picture.replace(folder / name)
            table.append({**row._asdict(), "picture": name})
        write_csv(folder.parent / _TABLE, (*Disagreement._fields, "picture"), table)
    return rows


def _earlier_pictures(folder: Path) -> list[Path]:
    """Those that the table beside the folder tells of, and nothing else that lies there."""
    table = folder.parent / _TABLE
    if not table.is_file():
        return []
    with table.open(newline="", encoding="utf-8") as file:
        names = [row.get("picture") for row in csv.DictReader(file)]
    return [folder / Path(name).name for name in names if name]


def _disagreement(name: str, first: np.ndarray, second: np.ndarray, numbered: bool) -> Disagreement:
    if not numbered:
        return Disagreement(name, float(np.mean(first != second)))
    scores = metrics.object_scores(first, second)
    return Disagreement(
        name,
        float(np.mean((first > 0) != (second > 0))),
        scores.average_precision,
        scores.matched + scores.missed,
        scores.matched + scores.extra,
    )


def _order(row: Disagreement) -> tuple[float, float]:
    return (0.0 if row.agreement is None else 1.0 - row.agreement, row.pixels)


def _panel(image: np.ndarray, first: np.ndarray, second: np.ndarray, numbered: bool) -> np.ndarray:
    picture = pictures.to_rgb(image)
    differs = (first > 0) != (second > 0) if numbered else first != second
    picture[differs] = _DIFFERENT
    picture[pictures.label_borders(first)] = pictures.TRUTH_COLOUR
    picture[pictures.label_borders(second)] = pictures.PREDICTION_COLOUR
    return pictures.panel(
        [
            ("image", pictures.to_rgb(image)),
            ("first", pictures.mask_picture(first)),
            ("second", pictures.mask_picture(second)),
            (
                [
                    ("first", pictures.TRUTH_COLOUR),
                    ("second", pictures.PREDICTION_COLOUR),
                    ("different", _DIFFERENT),
                ],
                picture,
            ),
        ]
    )
