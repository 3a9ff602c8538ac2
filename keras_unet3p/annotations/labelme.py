"""LabelMe: a JSON file for each image (https://github.com/wkentaro/labelme)."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import cv2
import numpy as np
from pydantic import Field

from keras_unet3p.annotations.annotated_image import AnnotatedImage
from keras_unet3p.annotations.annotated_object import AnnotatedObject
from keras_unet3p.annotations.annotation_set import AnnotationSet
from keras_unet3p.annotations.entries import Entry, Problems, list_of, read_json
from keras_unet3p.annotations.image_sizes import KnownImage, find_image
from keras_unet3p.annotations.object_image import ObjectImage
from keras_unet3p.annotations.raster import (
    FARTHEST,
    checked_ring,
    ellipse,
    polygon_pixels,
    rectangle,
    window_pixels,
)
from keras_unet3p.config import MAX_PIXELS
from keras_unet3p.errors import InputError
from keras_unet3p.files import write_json
from keras_unet3p.images import Limits

_VERSION = "5.5.0"  # the first whose masks and descriptions are as written here


class _File(Entry):
    imagePath: str
    imageHeight: int | None = Field(None, ge=1)
    imageWidth: int | None = Field(None, ge=1)
    shapes: list[Any]


class _Shape(Entry):
    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = "polygon"
    group_id: int | None = None
    mask: str | None = None


def read_labelme(
    path: str | os.PathLike[str],
    images: Mapping[str, KnownImage] | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
) -> AnnotationSet:
    """Read polygons, rectangles, circles and masks; points and lines are left out.

    Shapes of the same label and group are one object.

    Args:
        path: the JSON file.
        images: of `known_images`; by default the file is believed.
        max_pixels: larger images are refused.

    Raises:
        ValueError: the file is no LabelMe file, or shapes are broken; all of them are told.

    Example:
        >>> shape = {"label": "cell", "points": [[0, 0], [2, 1]], "shape_type": "rectangle"}
        >>> content = {"imagePath": "a.png", "imageHeight": 2, "imageWidth": 3, "shapes": [shape]}
        >>> write_json("a.json", content)
        >>> read_labelme("a.json").images[0].painted().ids.tolist()
        [[1, 1, 0], [0, 0, 0]]
    """
    content = read_json(path)
    problems = Problems(path)
    found = AnnotationSet()
    with problems.entry("the file"):
        file = _File.of(content)
        size = file.imageHeight, file.imageWidth
        name, known = find_image(file.imagePath, *size, images, max_pixels)
        found.images.append(AnnotatedImage(name, *known, []))
    problems.check()
    (image,) = found.images
    groups: dict[tuple[str, int], AnnotatedObject] = {}
    for place, value in enumerate(list_of(content["shapes"], "shapes")):
        with problems.entry(f"shapes[{place}]"):
            shape = _Shape.of(value)
            part = _part(shape, max_pixels)
            if part is None:
                found.left_out[f"shape of the type {shape.shape_type}"] += 1
                continue
            group = shape.group_id
            if group is not None and (shape.label, group) in groups:
                groups[shape.label, group].parts.append(part)
                continue
            number = group if group is not None and 0 < group < 2**31 else None
            image.objects.append(AnnotatedObject(shape.label, [part], number))
            if group is not None:
                groups[shape.label, group] = image.objects[-1]
    problems.check()
    return found


def _part(shape: _Shape, max_pixels: int) -> Callable[[int, int], np.ndarray] | None:
    if shape.shape_type in ("polygon", None):
        return partial(polygon_pixels, [checked_ring(shape.points)])
    if shape.shape_type not in ("rectangle", "circle", "mask"):
        return None
    if len(shape.points) != 2:
        raise InputError(f"points: a {shape.shape_type} has 2 points, found {len(shape.points)}")
    (left, top), (right, bottom) = shape.points
    if np.abs(shape.points).max() > FARTHEST:
        raise InputError("points: they lie far outside of any image")
    if shape.shape_type == "rectangle":
        return partial(polygon_pixels, [rectangle(left, top, right, bottom)])
    if shape.shape_type == "circle":  # its middle, and a point on it
        radius = float(np.hypot(right - left, bottom - top))
        return partial(polygon_pixels, [ellipse(left, top, radius, radius)])
    return partial(window_pixels, _mask(shape, max_pixels), round(left), round(top))


def _mask(shape: _Shape, max_pixels: int) -> np.ndarray:
    """(h, w) bool: of a PNG as large as the rectangle of its points, both pixels included."""
    (left, top), (right, bottom) = shape.points
    size = round(bottom) - round(top) + 1, round(right) - round(left) + 1
    try:
        encoded = base64.b64decode(shape.mask or "", validate=True)
    except binascii.Error as error:
        raise InputError(f"mask: is not in base64 ({error})") from None
    if encoded[:8] != b"\x89PNG\r\n\x1a\n" or len(encoded) < 33:
        raise InputError("mask: is no PNG")
    width, height = (int.from_bytes(encoded[start : start + 4], "big") for start in (16, 20))
    if (height, width) != size:
        raise InputError(
            f"mask: is {height} x {width} pixels, its points say {size[0]} x {size[1]}"
        )
    Limits(max_pixels).check_pixels("mask", height, width)
    mask = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise InputError("mask: a damaged PNG")
    return mask > 0


def write_labelme(path: str | os.PathLike[str], image: ObjectImage) -> None:
    """Write the objects of an image, atomically; `group_id` is an object's id.

    An object is a polygon, several of one group where it is in pieces, and a mask where it has
    holes.

    Args:
        path: the JSON file.
        image: the objects; LabelMe has no crowds, so that these are left out.

    Example:
        >>> write_labelme("a.json", ObjectImage("a", "a.png", np.array([[0, 7]]), {7: "cell"}))
        >>> read_json("a.json")["shapes"][0]["points"]
        [[2.0, 0.0], [2.0, 1.0], [1.0, 1.0], [1.0, 0.0]]
    """
    height, width = image.ids.shape
    shapes = [
        {"label": image.labels[number], "group_id": number, "description": "", "flags": {}, **drawn}
        for number, polygons in image.outlines().items()
        for drawn in _shapes(image.ids, number, polygons)
    ]
    content = {
        "version": _VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": image.file,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    write_json(path, content)


def _shapes(ids: np.ndarray, number: int, polygons: list[list[np.ndarray]]) -> list[dict[str, Any]]:
    if all(len(polygon) == 1 for polygon in polygons):
        return [
            {"shape_type": "polygon", "points": ring[:-1].tolist(), "mask": None}
            for (ring,) in polygons
        ]
    corners = np.concatenate([ring for polygon in polygons for ring in polygon]).astype(int)
    (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
    inside = ids[top:bottom, left:right] == number
    encoded = cv2.imencode(".png", inside * np.uint8(255))[1].tobytes()
    return [
        {
            "shape_type": "mask",
            "points": [[left, top], [right - 1, bottom - 1]],
            "mask": base64.b64encode(encoded).decode("ascii"),
        }
    ]
