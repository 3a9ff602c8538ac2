"""GeoJSON as QuPath writes and reads it: a file for each image, coordinates in pixels."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p.annotations.annotated_image import AnnotatedImage
from keras_unet3p.annotations.annotated_object import OBJECT, AnnotatedObject
from keras_unet3p.annotations.annotation_set import AnnotationSet
from keras_unet3p.annotations.entries import Entry, Problems, list_of, read_json
from keras_unet3p.annotations.image_sizes import KnownImage, find_image
from keras_unet3p.annotations.object_image import ObjectImage
from keras_unet3p.annotations.raster import checked_ring, polygon_pixels
from keras_unet3p.config import MAX_PIXELS
from keras_unet3p.errors import InputError
from keras_unet3p.files import write_json
from keras_unet3p.postprocessing import outlines_geojson

_FOUND = ("detection", "cell")  # what QuPath finds inside of annotations


class _Classification(Entry):
    name: str | None = None
    names: list[str] | None = None


class _Properties(Entry):
    objectType: str | None = None
    name: str | None = None
    classification: _Classification | None = None


class _Geometry(Entry):
    type: str
    coordinates: Any = None
    geometries: list[Any] | None = None


class _Feature(Entry):
    geometry: _Geometry
    properties: _Properties | None = None


def read_geojson(
    path: str | os.PathLike[str],
    images: Mapping[str, KnownImage],
    *,
    max_pixels: int = MAX_PIXELS,
) -> AnnotationSet:
    """Read polygons, several to an object or one, with holes; points and lines are left out.

    A feature's class is its `classification`. Where a file holds detections or cells, its
    annotations are the areas in which they were looked for, and are left out.

    Args:
        path: the file; its stem is that of the image.
        images: of `known_images`: the file tells no size.
        max_pixels: larger images are refused.

    Raises:
        ValueError: the file is no GeoJSON, or features are broken; all of them are told.

    Example:
        >>> ring = [[0, 0], [2, 0], [2, 1], [0, 1], [0, 0]]
        >>> geometry = {"type": "Polygon", "coordinates": [ring]}
        >>> feature = {"type": "Feature", "geometry": geometry, "properties": {}}
        >>> write_json("a.geojson", {"type": "FeatureCollection", "features": [feature]})
        >>> found = read_geojson("a.geojson", {"a": KnownImage("a.png", 2, 3)})
        >>> found.images[0].painted().ids.tolist()
        [[1, 1, 0], [0, 0, 0]]
    """
    content = read_json(path)
    problems = Problems(path)
    found = AnnotationSet()
    values: list[Any] = []
    with problems.entry("the file"):
        values = _features(content)
        name, known = find_image(Path(path).stem, None, None, images, max_pixels)
        found.images.append(AnnotatedImage(name, *known, []))
    problems.check()
    objects: list[tuple[str | None, AnnotatedObject]] = []
    for place, value in enumerate(values):
        with problems.entry(f"features[{place}]"):
            feature = _Feature.of(value)
            parts = _parts(feature.geometry)
            if not parts:
                found.left_out[f"feature of the type {feature.geometry.type}"] += 1
                continue
            properties = feature.properties or _Properties()
            objects.append((properties.objectType, _object(properties, parts)))
    problems.check()
    only_found = any(kind in _FOUND for kind, _ in objects)
    for kind, shape in objects:
        if only_found and kind == "annotation":
            found.left_out["annotation around detections"] += 1
        else:
            found.images[0].objects.append(shape)
    return found


def _features(content: Any) -> list[Any]:
    kind = content.get("type") if isinstance(content, dict) else None
    if kind == "FeatureCollection":
        return list_of(content.get("features"), "features")
    return [content] if kind == "Feature" else list_of(content, "the content")


def _object(
    properties: _Properties, parts: list[Callable[[int, int], np.ndarray]]
) -> AnnotatedObject:
    found = properties.classification or _Classification()
    label = found.name or ": ".join(found.names or ()) or OBJECT
    return AnnotatedObject(label, parts, number_of(properties.name))


def number_of(name: str | None) -> int | None:
    """The id that a name is, if it is one."""
    if name is None or not (name.isascii() and name.isdigit()) or len(name) > 10:
        return None
    return int(name) if 0 < int(name) < 2**31 else None


def _parts(geometry: _Geometry) -> list[Callable[[int, int], np.ndarray]]:
    if geometry.type == "GeometryCollection":
        inner = [_Geometry.of(value) for value in geometry.geometries or ()]
        return [part for one in inner for part in _parts(one)]
    if geometry.type == "Polygon":
        polygons = [geometry.coordinates]
    elif geometry.type == "MultiPolygon":
        polygons = list_of(geometry.coordinates, "coordinates")
    else:
        return []
    return [partial(polygon_pixels, _rings(polygon)) for polygon in polygons]


def _rings(polygon: Any) -> list[np.ndarray]:
    rings = [checked_ring(ring) for ring in list_of(polygon, "coordinates")]
    if not rings:
        raise InputError("coordinates: a polygon without a ring")
    return rings


def write_geojson(path: str | os.PathLike[str], image: ObjectImage) -> None:
    """Write the objects of an image as detections, named by their ids, atomically.

    Args:
        path: the file.
        image: the objects; crowds are left out.

    Example:
        >>> write_geojson("a.geojson", ObjectImage("a", "a.png", np.array([[0, 7]]), {7: "cell"}))
        >>> read_json("a.geojson")["features"][0]["properties"]["classification"]
        {'name': 'cell'}
    """
    write_json(path, outlines_geojson(image.outlines(), image.told_labels()))
