"""What a set of images and masks holds, and what looks wrong with it, before a training."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from keras_unet3p import data
from keras_unet3p.artifacts.html_table import html_table
from keras_unet3p.config import MAX_PAGES, MAX_PIXELS, ReadingChoices
from keras_unet3p.files import make_output_folder, printable, write_json
from keras_unet3p.images import pictures
from keras_unet3p.progress import Progress

_ON_SHEET = 24  # images
_TILE = 256  # pixels a side of one on the sheet
_COLUMNS = 6


class DataCheck(NamedTuple):
    """What `check` finds.

    Attributes:
        facts: numbers and words about the set, as JSON takes them.
        suspicions: what looks wrong, errors among it.

    Example:
        >>> DataCheck({"images": 3}, []).has_errors
        False
    """

    facts: dict[str, Any]
    suspicions: list[data.Suspicion]

    @property
    def has_errors(self) -> bool:
        """Whether nothing can be learnt from the set as it is."""
        return any(suspicion.is_error for suspicion in self.suspicions)

    def _repr_html_(self) -> str:
        """For notebooks: what the set holds, and what looks wrong with which images."""
        rows = [(name, printable(str(value))) for name, value in self.facts.items()]
        found = [
            (suspicion.text, ", ".join(map(printable, suspicion.names)))
            for suspicion in self.suspicions
        ]
        facts = html_table(["the set", ""], rows)
        return facts + (html_table(["looks wrong", "images"], found) if found else "")


def check(
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str] | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    mask_kind: str = "auto",
    classes: int | Sequence[str] | Sequence[int] | None = None,
    ignore: int | None = None,
    max_pixels: int = MAX_PIXELS,
    max_pages: int = MAX_PAGES,
    reading: ReadingChoices | None = None,
    progress: Progress = False,
) -> DataCheck:
    """Look at images and masks as `train` would.

    Args:
        images, masks: as `train`.
        out: folder for `check.json` and `contact_sheet.png`, up to 24 images with their masks over
            them; None writes nothing.
        mask_kind, classes, ignore, max_pixels, max_pages, reading: as `train`.
        progress: as `predict`.

    Raises:
        ValueError: files cannot be read or do not go together; the message lists them.

    Example:
        >>> check("images", "masks").suspicions  # doctest: +SKIP
        [Suspicion(kind='shifted', text="the mask's borders fit better ...", names=['cell_7'], ...)]
    """
    opened = data.open_images(
        images,
        masks,
        mask_kind=mask_kind,
        classes=classes,
        ignore=ignore,
        max_pixels=max_pixels,
        max_pages=max_pages,
        reading=reading or ReadingChoices(),
        progress=progress,
    )
    found = DataCheck(_facts(opened), data.find_suspicions(opened))
    if out is not None:
        folder = make_output_folder(out)
        pictures.write_picture(folder / "contact_sheet.png", _contact_sheet(opened))
        content = {
            **found.facts,
            "suspicions": [suspicion._asdict() for suspicion in found.suspicions],
        }
        write_json(folder / "check.json", content)
    return found


def _facts(opened: data.LabeledImages) -> dict[str, Any]:
    sides = sorted(opened.shapes, key=lambda shape: shape[0] * shape[1])
    size = [list(shape) for shape in (sides[0], sides[-1])]
    facts: dict[str, Any] = {
        "images": len(opened),
        "smallest (height, width)": size[0],
        "largest": size[1],
        "channels": opened.num_channels,
        "stored as": opened.stored_types,
        "values": [float(value) for value in opened.value_range],
        "masks": opened.mask_kind,
    }
    if opened.mask_kind == "instances":
        objects = [len(np.unique(labels[labels > 0])) for labels in _labels(opened)]
        facts["objects"] = sum(objects)
        facts["objects in an image"] = [min(objects), max(objects)]
    names = opened.class_names or []
    shares = opened.class_frequencies.tolist()
    facts["shares"] = {
        names[number] if number < len(names) else _class_name(number, len(shares)): round(share, 4)
        for number, share in enumerate(shares)
    }
    if opened.ignore is not None:
        facts["labelled"] = round(float(opened.labeled_share), 4)
    return facts


def _labels(opened: data.LabeledImages):
    return (opened.stored(place)[1] for place in range(len(opened)))


def _class_name(number: int, count: int) -> str:
    if number == 0:
        return "background"
    return "foreground" if count == 2 else f"class {number}"


def _contact_sheet(opened: data.LabeledImages) -> np.ndarray:
    """Images spread over the set, each with its mask over it and its name."""
    places = np.linspace(0, len(opened) - 1, min(len(opened), _ON_SHEET)).round().astype(int)
    tiles = []
    for place in places.tolist():
        image, labels = opened.stored(place)
        picture = pictures.overlay(image, np.maximum(labels, 0))
        scale = _TILE / max(picture.shape[:2])
        size = [max(round(side * scale), 1) for side in picture.shape[1::-1]]
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
        small = cv2.resize(picture, size, interpolation=way)
        tile = np.full((_TILE, _TILE, 3), 255, np.uint8)
        tile[: small.shape[0], : small.shape[1]] = small
        tiles.append(pictures.panel([(printable(opened.names[place])[:28], tile)]))
    columns = min(_COLUMNS, len(tiles))
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (math.ceil(len(tiles) / columns) * columns - len(tiles))
    rows = [
        np.concatenate(tiles[start : start + columns], axis=1)
        for start in range(0, len(tiles), columns)
    ]
    return np.concatenate(rows)
