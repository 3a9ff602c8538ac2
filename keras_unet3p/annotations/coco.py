"""COCO: one JSON file for all images (Lin et al. 2014, https://cocodataset.org/#format-data)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, cast

import numpy as np
from pydantic import Field

from keras_unet3p.annotations.annotated_image import AnnotatedImage
from keras_unet3p.annotations.annotated_object import AnnotatedObject
from keras_unet3p.annotations.annotation_set import AnnotationSet
from keras_unet3p.annotations.entries import Entry, Problems, list_of, read_json
from keras_unet3p.annotations.image_sizes import KnownImage, find_image
from keras_unet3p.annotations.object_image import ObjectImage
from keras_unet3p.annotations.raster import checked_ring, run_lengths, run_pixels
from keras_unet3p.config import MAX_PIXELS
from keras_unet3p.errors import InputError, needing
from keras_unet3p.files import write_json

# Numbers in base 32, the lowest digit first: digits that go on, and one that ends. Of seven digits
# at most, which hold more than any size of an image.
_COUNTS = re.compile(r"(?:[P-o]{0,6}[0-O])+")


class _Category(Entry):
    id: int
    name: str


class _Image(Entry):
    id: int
    file_name: str
    height: int = Field(ge=1)
    width: int = Field(ge=1)


class _Annotation(Entry):
    image_id: int
    category_id: int
    segmentation: Any = None
    iscrowd: int = Field(0, ge=0, le=1)


def read_coco(
    path: str | os.PathLike[str],
    images: Mapping[str, KnownImage] | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
) -> AnnotationSet:
    """Read polygons, run lengths (compressed or not) and crowds.

    Polygons become the pixels that COCO's own library gives them. Annotations that are only a box
    are left out.

    Args:
        path: the JSON file.
        images: of `known_images`; by default the file is believed.
        max_pixels: larger images are refused.

    Raises:
        ValueError: the file is no COCO file, or entries are broken; all of them are told.
        MissingExtraError: there are polygons, and pycocotools is not installed.

    Example:
        >>> annotation = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0}
        >>> annotation["segmentation"] = {"size": [2, 3], "counts": [1, 2, 3]}
        >>> image = {"id": 1, "file_name": "a.png", "height": 2, "width": 3}
        >>> content = {"images": [image], "annotations": [annotation]}
        >>> write_json("cells.json", {**content, "categories": [{"id": 1, "name": "cell"}]})
        >>> read_coco("cells.json").images[0].painted().ids.tolist()
        [[0, 1, 0], [1, 0, 0]]
    """
    content = read_json(path)
    problems = Problems(path)
    found = AnnotationSet()
    categories: dict[int, str] = {}
    by_id: dict[int, AnnotatedImage] = {}
    lists = {}
    for key in ("categories", "images", "annotations"):
        with problems.entry(key):
            lists[key] = list_of(content.get(key) if isinstance(content, dict) else None, key)
    problems.check()
    for place, value in enumerate(lists["categories"]):
        with problems.entry(f"categories[{place}]"):
            category = _Category.of(value)
            categories[category.id] = category.name
    for place, value in enumerate(lists["images"]):
        with problems.entry(f"images[{place}]"):
            entry = _Image.of(value)
            size = entry.height, entry.width
            name, known = find_image(entry.file_name, *size, images, max_pixels)
            if entry.id in by_id:
                raise InputError(f"id: {entry.id} is given twice")
            by_id[entry.id] = AnnotatedImage(name, known.file, *size, [])
    found.images = list(by_id.values())
    refused = len(problems.found) > 0
    for place, value in enumerate(lists["annotations"]):
        with problems.entry(f"annotations[{place}]"):
            annotation = _Annotation.of(value)
            if not annotation.segmentation:
                found.left_out["box without an outline"] += 1
                continue
            image = by_id.get(annotation.image_id)
            if image is None:
                if refused:  # told above
                    continue
                raise InputError(f"image_id: there is no image {annotation.image_id}")
            if annotation.category_id not in categories:
                raise InputError(f"category_id: there is no category {annotation.category_id}")
            parts = _parts(annotation.segmentation, image.height, image.width)
            label = categories[annotation.category_id]
            crowd = annotation.iscrowd == 1
            image.objects.append(AnnotatedObject(label, parts, is_crowd=crowd))
    problems.check()
    return found


def _parts(segmentation: Any, height: int, width: int) -> list[Callable[[int, int], np.ndarray]]:
    if isinstance(segmentation, list):
        rings = [checked_ring(_pairs(values)) for values in segmentation]
        with needing("annotations", "annotations.read_coco"):
            import pycocotools  # noqa: F401
        return [partial(_ring_pixels, ring) for ring in rings]
    if not isinstance(segmentation, dict):
        raise InputError("segmentation: expected polygons or run lengths")
    if segmentation.get("size") != [height, width]:
        raise InputError(
            f"segmentation.size: {segmentation.get('size')!r}; the image is {[height, width]}"
        )
    lengths = _lengths(segmentation.get("counts"))
    if lengths.min() < 0 or lengths.sum() != height * width:
        raise InputError(
            f"segmentation.counts: the runs hold {lengths.sum()} pixels, the image {height * width}"
        )
    return [partial(run_pixels, lengths, True)]


def _pairs(values: Any) -> Any:
    if not isinstance(values, list) or len(values) % 2:
        raise InputError("segmentation: a ring that is no list of x and y in turn")
    return list(zip(values[::2], values[1::2], strict=True))


def _ring_pixels(ring: np.ndarray, height: int, width: int) -> np.ndarray:
    return run_pixels(_ring_lengths(ring, height, width), True, height, width)


def _ring_lengths(ring: np.ndarray, height: int, width: int) -> np.ndarray:
    from pycocotools import mask

    (encoded,) = mask.frPyObjects([ring.ravel().tolist()], height, width)
    return _decompressed(cast(bytes, encoded["counts"]))


def _lengths(counts: Any) -> np.ndarray:
    if isinstance(counts, str):
        if not _COUNTS.fullmatch(counts):
            raise InputError("segmentation.counts: no compressed run lengths")
        return _decompressed(counts.encode("ascii"))
    if isinstance(counts, list) and counts and all(type(n) is int and n >= 0 for n in counts):
        try:
            return np.array(counts, np.int64)
        except OverflowError:
            pass
    raise InputError("segmentation.counts: expected run lengths, a list or compressed")


def _decompressed(counts: bytes) -> np.ndarray:
    """Run lengths of the compressed form. Its numbers are differences to the one before the last.

    pycocotools, which writes this form, reads beyond the end of a text that is cut off.
    """
    digits = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    last = digits & 0x20 == 0
    starts = np.flatnonzero(np.concatenate([[True], last[:-1]]))
    sizes = np.diff(np.append(starts, len(digits)))
    places = np.arange(len(digits)) - np.repeat(starts, sizes)
    values = np.add.reduceat((digits & 0x1F) << (5 * places), starts)
    values -= np.where(digits[last] & 0x10, np.int64(1) << (5 * sizes), 0)
    values[1::2], values[2::2] = np.cumsum(values[1::2]), np.cumsum(values[2::2])
    return values


def write_coco(
    path: str | os.PathLike[str], images: Iterable[ObjectImage], classes: Mapping[str, int]
) -> int:
    """Write a COCO file, atomically. Crowds are written as such.

    Objects without holes become polygons along the edges of their pixels, others compressed run
    lengths: what COCO's library makes of both are the same pixels.

    Args:
        path: the JSON file.
        images: the objects of each.
        classes: the ids of the categories by the names of the classes.

    Returns:
        How many objects were written.

    Raises:
        MissingExtraError: pycocotools is not installed.

    Example:
        >>> image = ObjectImage("a", "a.png", np.array([[0, 1, 1]]), {1: "cell"})
        >>> write_coco("cells.json", [image], {"cell": 1})
        1
        >>> read_json("cells.json")["annotations"][0]["segmentation"]
        [[3.0, 0.0, 3.0, 1.0, 1.0, 1.0, 1.0, 0.0]]
    """
    entries, annotations = [], []
    with needing("annotations", "annotations.write_coco"):
        import pycocotools  # noqa: F401
    for image_id, image in enumerate(images, start=1):
        height, width = image.ids.shape
        size = {"height": height, "width": width}
        entries.append({"id": image_id, "file_name": image.file, **size})
        for found in _annotations(image, classes):
            number = len(annotations) + 1
            annotations.append({"id": number, "image_id": image_id, **found})
    categories = [{"id": number, "name": name} for name, number in classes.items()]
    content = {"images": entries, "annotations": annotations, "categories": categories}
    write_json(path, content)
    return len(annotations)


def _annotations(image: ObjectImage, classes: Mapping[str, int]) -> Iterable[dict[str, Any]]:
    height, width = image.ids.shape
    outlines = image.outlines()
    by_columns = image.ids.T.ravel()
    order = np.argsort(by_columns, kind="stable")
    numbers, starts = np.unique(by_columns[order], return_index=True)
    for number, places in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
        if number == 0:
            continue
        columns, rows = np.divmod(places, height)
        left, top = int(columns.min()), int(rows.min())
        polygons = outlines.get(number, [])
        yield {
            "category_id": classes[image.labels[number]],
            "segmentation": _segmentation(polygons, places, height, width),
            "area": len(places),
            "bbox": [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top],
            "iscrowd": int(number < 0),
        }


def _segmentation(
    polygons: list[list[np.ndarray]], places: np.ndarray, height: int, width: int
) -> list[list[float]] | dict[str, Any]:
    if polygons and all(len(polygon) == 1 for polygon in polygons):
        return [ring[:-1].ravel().tolist() for (ring,) in polygons]
    from pycocotools import mask

    lengths = run_lengths(places, height * width).tolist()
    encoded = mask.frPyObjects({"size": [height, width], "counts": lengths}, height, width)
    return {"size": [height, width], "counts": cast(bytes, encoded["counts"]).decode("ascii")}
