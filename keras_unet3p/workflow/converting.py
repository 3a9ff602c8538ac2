"""Annotations of other programs to masks, and masks to annotations."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_unet3p import annotations
from keras_unet3p.annotations import AnnotationSet, KnownImage, ObjectImage
from keras_unet3p.annotations.annotated_object import OBJECT
from keras_unet3p.annotations.image_sizes import find_image
from keras_unet3p.annotations.object_image import image_of_classes, image_of_instances
from keras_unet3p.config import MAX_PIXELS
from keras_unet3p.errors import InputError, ProblemsError
from keras_unet3p.files import fitting_name, make_output_folder, printable, write_json
from keras_unet3p.images import list_images, read_labels, write_labels

TARGETS = {
    "masks": ".png",
    "coco": ".json",
    "labelme": ".json",
    "geojson": ".geojson",
    "imagej": ".rois.zip",
}
"""The formats that are written and the suffixes of their files."""
KINDS = ("instances", "classes")
"""What masks hold: a number for each object, or class ids."""
CLASSES, COCO = "classes.json", "annotations.json"
_BACKGROUND = "background"
_MOST_OF_PNG = np.iinfo(np.uint16).max
_WRITERS = {"labelme": "write_labelme", "geojson": "write_geojson", "imagej": "write_imagej"}


class Conversion(NamedTuple):
    """What `convert` did.

    Attributes:
        files: that were written, in the order of the images.
        images: how many.
        objects: how many are in a pixel at least.
        classes: the names of the classes by their ids, 0 the background.
        notes: what was left out, in sentences.

    Example:
        >>> Conversion([], 0, 0, ["background"], []).notes
        []
    """

    files: list[Path]
    images: int
    objects: int
    classes: list[str]
    notes: list[str]


class _Opened(NamedTuple):
    """The images of a source, painted when they are asked for."""

    images: Iterator[ObjectImage]
    labels: list[str]
    left_out: Mapping[str, int]


def convert(
    source: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    to: str,
    source_format: str = "auto",
    images: str | os.PathLike[str] | None = None,
    kind: str = "instances",
    classes: Sequence[str] | None = None,
    crowd: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Conversion:
    """Convert annotations to masks, masks to annotations, or annotations to others.

    Everything goes over a label image: where objects overlap, a pixel belongs to the smallest. What
    is wrong with the source is told before anything is written.

    Args:
        source: a file or a folder: COCO, LabelMe, QuPath's GeoJSON, ROIs of ImageJ, Label Studio's
            JSON, or masks.
        out: folder for the files: `NAME.png` (`.tif` for ids above 65,535), `annotations.json`
            (COCO), `NAME.json` (LabelMe), `NAME.geojson`, `NAME.rois.zip`. With class masks also
            `classes.json`, the id of each class.
        to: one of `TARGETS`.
        source_format: one of `annotations.SOURCES`; by default it is found out.
        images: folder of the images. GeoJSON and ROIs need it, since they tell no sizes; others are
            compared with it.
        kind: what masks hold, those that are read or written: `"instances"` or `"classes"`. The
            objects of a mask of classes are its regions.
        classes: names of the classes, the background first; by default those of the source, sorted,
            and `class 1` and so on of masks.
        crowd: value of COCO's crowds in masks of instances, which `--ignore` of a training leaves
            out; by default they are background.
        max_pixels: larger images are refused.

    Raises:
        ValueError: an argument is not accepted, or files or entries are broken; the message lists
            all of them.
        MissingExtraError: a package of the extra "annotations" is not installed.

    Example:
        >>> write_labels("masks/a.png", np.array([[0, 1, 1], [2, 0, 1]]))
        >>> convert("masks", out="coco", to="coco").objects
        2
        >>> convert("coco", out="again", to="masks").files
        [PosixPath('again/a.png')]
        >>> read_labels("again/a.png")[0].tolist()
        [[0, 1, 1], [2, 0, 1]]
    """
    _check(to, TARGETS, "to")
    _check(kind, KINDS, "kind")
    if source_format == "auto":
        source_format = annotations.find_format(source)
    _check(source_format, annotations.SOURCES, "from")
    if crowd is not None and not 0 <= crowd < 2**31:
        raise InputError(f"crowd is {crowd}; expected a mask value from 0 to {2**31 - 1}")
    _check_out(Path(out), source, images)
    sizes = None if images is None else annotations.known_images(images, max_pixels=max_pixels)
    if source_format == "masks":
        opened = _open_masks(source, sizes, kind, classes, max_pixels)
    else:
        found = annotations.read_annotations(source, source_format, sizes, max_pixels=max_pixels)
        opened = _open_set(found, _BACKGROUND if classes is None else next(iter(classes), ""))
    names = _class_names(opened.labels, classes)
    folder = make_output_folder(out)
    counted = _Counted(opened.images)
    if to == "masks":
        files = _write_masks(counted, folder, kind, names, crowd or 0)
    elif to == "coco":
        files = [folder / COCO]
        annotations.write_coco(files[0], counted, {n: i for i, n in enumerate(names) if i})
    else:
        files = _write_each(counted, folder, to)
    keeps_crowds = to == "coco" or (to == "masks" and (kind == "classes" or crowd is not None))
    notes = _notes(opened.left_out, counted, keeps_crowds)
    if sizes is not None and len(sizes) > counted.images:
        notes.append(f"images that the source does not name: {len(sizes) - counted.images}")
    return Conversion(files, counted.images, counted.objects, names, notes)


class _Counted:
    """An iterator that counts what went through it."""

    def __init__(self, images: Iterator[ObjectImage]) -> None:
        self._source = images
        self.images = self.objects = self.crowds = self.hidden = 0

    def __iter__(self) -> Iterator[ObjectImage]:
        for image in self._source:
            seen = image.numbers()
            crowds = sum(number < 0 for number in image.labels)
            told = sum(number > 0 for number in image.labels)
            self.images += 1
            self.objects += len(seen)
            self.crowds += crowds
            self.hidden += told - len(seen)
            yield image


def _check(value: str, accepted: Sequence[str] | Mapping[str, str], argument: str) -> None:
    if value not in accepted:
        raise InputError(f"{argument} is {value!r}; accepted are {', '.join(accepted)}")


def _check_out(
    out: Path, source: str | os.PathLike[str], images: str | os.PathLike[str] | None
) -> None:
    """See that no file of the source or of the images can be replaced."""
    for argument, given in (("source", source), ("images", images)):
        if given is None:
            continue
        folder = Path(given) if Path(given).is_dir() else Path(given).parent
        if out.resolve() == folder.resolve():
            raise InputError(
                f"out: {printable(out)} is the folder of {argument}, whose files could be "
                "replaced; give another one"
            )


def _open_set(found: AnnotationSet, background: str) -> _Opened:
    for image in found.images:
        kept = [shape for shape in image.objects if shape.label != background]
        found.left_out["object of the background"] += len(image.objects) - len(kept)
        image.objects[:] = kept
    painted = (image.painted() for image in found.images)
    return _Opened(painted, found.labels(), found.left_out)


def _open_masks(
    source: str | os.PathLike[str],
    sizes: Mapping[str, KnownImage] | None,
    kind: str,
    classes: Sequence[str] | None,
    max_pixels: int,
) -> _Opened:
    """Masks are read twice, so that all problems are told before anything is written."""
    paths = list_images(source)
    problems: list[str] = []
    values: set[int] = set()
    files: dict[str, str] = {}
    for name, path in paths.items():
        try:
            mask = _read_mask(path, max_pixels)
            files[name] = find_image(path.name, mask.shape[0], mask.shape[1], sizes, max_pixels)[
                1
            ].file
            values |= set(np.unique(mask).tolist()) if kind == "classes" else set()
            _check_classes(path, mask, classes if kind == "classes" else None)
        except InputError as error:
            text = str(error)
            named = text.startswith(printable(path))
            problems.append(text if named else f"{printable(path)}: {text}")
    if problems:
        raise ProblemsError(f"{printable(source)} cannot be converted", problems)
    told = {value: _told_name(value, classes) for value in sorted(values - {0})}

    def opened() -> Iterator[ObjectImage]:
        for name, path in paths.items():
            mask = _read_mask(path, max_pixels)
            if kind == "classes":
                yield image_of_classes(name, files[name], mask, told)
            else:
                yield image_of_instances(name, files[name], mask, _one_class(classes))

    labels = list(told.values()) if kind == "classes" else [_one_class(classes)]
    return _Opened(opened(), labels, {})


def _one_class(classes: Sequence[str] | None) -> str:
    """The name of the class of all objects of a mask of instances."""
    if classes is None:
        return OBJECT
    if len(classes) != 2:
        raise InputError(
            f"classes: {len(classes)} names; masks of instances tell no classes, so expected are "
            "the background and one more"
        )
    return classes[1]


def _told_name(value: int, classes: Sequence[str] | None) -> str:
    return f"class {value}" if classes is None else classes[value]


def _check_classes(path: Path, mask: np.ndarray, classes: Sequence[str] | None) -> None:
    if classes is not None and mask.max() >= len(classes):
        raise InputError(
            f"{printable(path)}: holds the class id {mask.max()}; classes has {len(classes)} names"
        )


def _read_mask(path: Path, max_pixels: int) -> np.ndarray:
    masks = read_labels(path, max_pixels=max_pixels)
    if len(masks) != 1:
        raise InputError(f"{printable(path)}: holds {len(masks)} masks; expected one")
    return masks[0]


def _class_names(labels: list[str], classes: Sequence[str] | None) -> list[str]:
    """The names by their ids: those that are given, or those of the source."""
    if classes is None:
        return [_BACKGROUND, *labels]
    if len(set(classes)) != len(classes):
        raise InputError(f"classes: {', '.join(map(printable, classes))}; a name is given twice")
    absent = sorted({printable(label) for label in labels if label not in classes})
    if absent:
        raise InputError(
            f"classes: the source has {', '.join(absent)} too; given are "
            f"{', '.join(map(printable, classes))}"
        )
    return list(classes)


def _write_masks(
    images: _Counted, folder: Path, kind: str, names: list[str], crowd: int
) -> list[Path]:
    ids = {name: number for number, name in enumerate(names)}
    files = []
    for image in images:
        mask = image.instances(crowd) if kind == "instances" else image.class_ids(ids)
        suffix = ".png" if mask.max(initial=0) <= _MOST_OF_PNG else ".tif"
        files.append(folder / fitting_name(folder, image.name, suffix=suffix))
        write_labels(files[-1], mask)
    if kind == "classes":
        write_json(folder / CLASSES, ids)
    return files


def _write_each(images: _Counted, folder: Path, to: str) -> list[Path]:
    write = getattr(annotations, _WRITERS[to])
    files = []
    for image in images:
        files.append(folder / fitting_name(folder, image.name, suffix=TARGETS[to]))
        write(files[-1], image)
    return files


def _notes(left_out: Mapping[str, int], counted: _Counted, keeps_crowds: bool) -> list[str]:
    notes = [f"left out, {what}: {count}" for what, count in left_out.items() if count]
    if counted.hidden:
        notes.append(f"objects in no pixel, too small or below others: {counted.hidden}")
    if counted.crowds and not keeps_crowds:
        notes.append(f"left out, crowds: {counted.crowds}")
    return notes
