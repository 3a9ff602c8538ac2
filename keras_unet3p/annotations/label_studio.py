"""Exports of Label Studio in its own JSON (https://labelstud.io/guide/export)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from pydantic import Field

from keras_unet3p.annotations.annotated_image import AnnotatedImage
from keras_unet3p.annotations.annotated_object import OBJECT, AnnotatedObject
from keras_unet3p.annotations.annotation_set import AnnotationSet
from keras_unet3p.annotations.entries import Entry, Problems, list_of, read_json
from keras_unet3p.annotations.image_sizes import KnownImage, find_image
from keras_unet3p.annotations.raster import checked_ring, polygon_pixels, run_lengths, run_pixels
from keras_unet3p.config import MAX_PIXELS
from keras_unet3p.errors import InputError
from keras_unet3p.images.listing import stem

_UPLOADED = re.compile(r"[0-9a-f]{8}-")  # put before the names of uploaded files
_POLYGON, _BRUSH = ("polygon", "polygonlabels"), ("brush", "brushlabels")
_RGBA = 4


class _Annotation(Entry):
    result: list[Any]
    was_cancelled: bool = False
    ground_truth: bool = False


class _Task(Entry):
    data: dict[str, Any]
    annotations: list[_Annotation]


class _Result(Entry):
    id: str = ""
    type: str
    value: dict[str, Any]
    original_width: int | None = Field(None, ge=1)
    original_height: int | None = Field(None, ge=1)
    image_rotation: float | None = None


def read_label_studio(
    path: str | os.PathLike[str],
    images: Mapping[str, KnownImage] | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
) -> AnnotationSet:
    """Read polygons and brushes; other results are left out.

    Of a task that several people annotated, the ground truth counts, else the first annotation
    that was not cancelled. A task without one is an image without objects only if it was
    annotated so; else it is left out.

    Args:
        path: the JSON export ("JSON", not "JSON-MIN").
        images: of `known_images`; by default the file is believed. It tells sizes with the objects,
            so that images without objects need this.
        max_pixels: larger images are refused.

    Raises:
        ValueError: the file is no such export, or tasks or results are broken; all of them are
            told.

    Example:
        >>> from keras_unet3p.files import write_json
        >>> value = {"points": [[0, 0], [50, 0], [50, 100], [0, 100]], "polygonlabels": ["cell"]}
        >>> size = {"original_width": 4, "original_height": 1}
        >>> result = {"id": "a", "type": "polygonlabels", "value": value, **size}
        >>> task = {"data": {"image": "/data/a.png"}, "annotations": [{"result": [result]}]}
        >>> write_json("export.json", [task])
        >>> read_label_studio("export.json").images[0].painted().ids.tolist()
        [[1, 1, 0, 0]]
    """
    content = read_json(path)
    problems = Problems(path)
    found = AnnotationSet()
    values: list[Any] = []
    with problems.entry("the file"):
        values = list_of(content, "the content")
    for place, value in enumerate(values):
        with problems.entry(f"tasks[{place}]"):
            task = _Task.of(value)
            annotation = _chosen(task, found)
            if annotation is not None:
                _read_task(task, annotation, found, images, max_pixels, place, problems)
    problems.check()
    return found


def _chosen(task: _Task, found: AnnotationSet) -> _Annotation | None:
    """The annotation that counts."""
    finished = [one for one in task.annotations if not one.was_cancelled]
    if not finished:
        found.left_out["task that is not annotated"] += 1
        return None
    if len(finished) > 1:
        found.left_out["further annotation of a task"] += len(finished) - 1
    return next((one for one in finished if one.ground_truth), finished[0])


def _read_task(
    task: _Task,
    annotation: _Annotation,
    found: AnnotationSet,
    images: Mapping[str, KnownImage] | None,
    max_pixels: int,
    place: int,
    problems: Problems,
) -> None:
    results = []
    for number, value in enumerate(annotation.result):
        with problems.entry(f"tasks[{place}].result[{number}]"):
            results.append((number, _Result.of(value)))
    labels = {result.id: label for _, result in results if (label := _label(result))}
    drawn = [(number, one) for number, one in results if one.type in (*_POLYGON, *_BRUSH)]
    sized = next((one for _, one in drawn if one.original_height and one.original_width), None)
    size = (sized.original_height, sized.original_width) if sized else (None, None)
    name, known = find_image(_image_file(task, images), *size, images, max_pixels)
    image = AnnotatedImage(name, *known, [])
    found.images.append(image)
    for _, result in results:
        if result.type not in (*_POLYGON, *_BRUSH, "labels"):
            found.left_out[f"result of the type {result.type}"] += 1
    for number, result in drawn:
        with problems.entry(f"tasks[{place}].result[{number}]"):
            part = _part(result, known.height, known.width)
            label = _label(result) or labels.get(result.id, OBJECT)
            image.objects.append(AnnotatedObject(label, [part]))


def _label(result: _Result) -> str:
    """The label of a result: of its own, or of one of the type "labels" of the same id."""
    names = result.value.get(result.type)
    if isinstance(names, list) and names and isinstance(names[0], str):
        return names[0]
    return ""


def _image_file(task: _Task, images: Mapping[str, KnownImage] | None) -> str:
    """The name of the file that was uploaded, without the letters that were put before it."""
    parts = urlsplit(_address(task))
    local = parse_qs(parts.query).get("d", [parts.path])[0]
    name = unquote(local).rpartition("/")[2]
    short = _UPLOADED.sub("", name, count=1) if _UPLOADED.match(name) else name
    if images is not None:
        return name if stem(Path(name)) in images else short
    return short if "/upload/" in parts.path else name


def _address(task: _Task) -> str:
    """Of the image: that of this name, else the first text with a slash."""
    texts = {key: value for key, value in task.data.items() if isinstance(value, str)}
    found = texts.get("image") or next((text for text in texts.values() if "/" in text), None)
    if found is None:
        raise InputError("data: there is no address of an image")
    return found


def _part(result: _Result, height: int, width: int) -> Callable[[int, int], np.ndarray]:
    told = result.original_height or height, result.original_width or width
    if told != (height, width):
        raise InputError(f"is of {told[0]} x {told[1]} pixels, the image {height} x {width}")
    if result.image_rotation:
        raise InputError(
            f"image_rotation: {result.image_rotation:g}; expected 0, the image as it is"
        )
    if result.type in _POLYGON:
        ring = checked_ring(result.value.get("points"))
        return partial(polygon_pixels, [ring / 100 * (width, height)])
    if result.value.get("format") != "rle":
        raise InputError(f"value.format: {result.value.get('format')!r}; expected 'rle'")
    opaque = _decoded(result.value.get("rle"), height * width * _RGBA)[_RGBA - 1 :: _RGBA] > 0
    places = np.flatnonzero(opaque)
    lengths = run_lengths(places, opaque.size) if len(places) else np.array([opaque.size])
    return partial(run_pixels, lengths, False)


def _decoded(rle: Any, size: int) -> np.ndarray:
    """The bytes of a brush: rle-pack of thi.ng/umbrella, red, green, blue and opacity in turn.

    After the header (32 bits: how many words; 5: bits of a word - 1; 4 times 4: bits of a length -
    1) there are blocks: a bit that says if all words are the same, two that choose the bits of the
    length, the length - 1, and one word or as many as the length says.
    """
    try:
        packed = np.frombuffer(bytes(rle), np.uint8)
        bits = np.unpackbits(packed).tobytes().translate(_DIGITS).decode("ascii")
    except (TypeError, ValueError, OverflowError):
        raise InputError("value.rle: expected a list of bytes") from None
    place = 0

    def read(count: int) -> int:
        nonlocal place
        if place + count > len(bits):
            raise InputError("value.rle: ends too early")
        place += count
        return int(bits[place - count : place], 2)

    count, word = read(32), read(5) + 1
    length_bits = [read(4) + 1 for _ in range(4)]
    if count != size or word != 8:
        raise InputError(
            f"value.rle: {count} words of {word} bits; red, green, blue and opacity of the image "
            f"are {size} of 8"
        )
    found = np.zeros(size, np.uint8)
    done = 0
    while done < size:
        same = read(1)
        end = done + 1 + read(length_bits[read(2)])
        if end > size:
            raise InputError("value.rle: holds more than the image")
        if same:
            found[done:end] = read(word)
        else:
            found[done:end] = [read(word) for _ in range(end - done)]
        done = end
    return found


_DIGITS = bytes.maketrans(b"\0\1", b"01")
