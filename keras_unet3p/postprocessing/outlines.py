"""Outlines of objects, as polygons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.measure import approximate_polygon, points_in_poly

from keras_unet3p.errors import InputError

_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # x and y: right, down, left, up
_LEAST_AREA = 0.5  # of a ring's own, after simplification


def object_outlines(
    instances: np.ndarray, *, tolerance: float = 0.0
) -> dict[int, list[list[np.ndarray]]]:
    """The polygons of each object, holes included.

    The lines run along the edges of the pixels, so that a polygon's area is the number of its
    pixels. Pixels of an object that only touch at a corner are of different polygons.

    Args:
        instances: (H, W) ids, 0 the background.
        tolerance: how far a simplified line may lie from the true one, pixels (Douglas and Peucker
            1973); 0 for all corners. A ring that would lose half of its area stays as it is.

    Returns:
        For each id, rising, its polygons. A polygon is a list of rings, the outer one first and
        then its holes; a ring (N, 2) float64 of x and y in pixels, the first point repeated at the
        end. The upper left corner of the image is (0, 0), the middle of its first pixel (0.5, 0.5).

    Raises:
        ValueError: `instances` has another shape, or the tolerance is negative.

    Example:
        >>> ids = np.zeros((5, 5), int)
        >>> ids[1:4, 1:4] = 7
        >>> ids[2, 2] = 0
        >>> polygon, = object_outlines(ids)[7]
        >>> [len(ring) for ring in polygon]
        [5, 5]
    """
    instances = np.asarray(instances)
    if instances.ndim != 2:
        raise InputError(f"instances must be (H, W), found shape {instances.shape}")
    if not tolerance >= 0:
        raise InputError(f"tolerance must be at least 0 pixels, found {tolerance}")
    found: dict[int, list[list[np.ndarray]]] = {}
    for number, window in enumerate(ndimage.find_objects(instances.astype(np.int32)), start=1):
        if window is None:
            continue
        corner = np.array([window[1].start, window[0].start])
        rings = _rings(instances[window] == number)
        polygons = [[ring] for ring in rings if _area(ring) > 0]
        for hole in (ring for ring in rings if _area(ring) < 0):
            around = [
                polygon
                for polygon in polygons
                if points_in_poly(_beside(hole)[np.newaxis], polygon[0])[0]
            ]
            # In a hole may lie another piece with a hole: its own ring is the smallest one.
            min(around, key=lambda polygon: _area(polygon[0])).append(hole)
        found[number] = [
            [_simplified(ring, tolerance) + corner for ring in polygon] for polygon in polygons
        ]
    return found


def outlines_geojson(
    outlines: dict[int, list[list[np.ndarray]]], classes: Mapping[int, str] | None = None
) -> dict[str, Any]:
    """A GeoJSON FeatureCollection of `object_outlines`, as QuPath reads it: a detection for each.

    Coordinates are pixels; an object of several pieces is a MultiPolygon.

    Args:
        outlines: of `object_outlines`.
        classes: the names of the classes of objects that have one.

    Example:
        >>> collection = outlines_geojson(object_outlines(np.ones((2, 2), int)))
        >>> collection["features"][0]["properties"]
        {'objectType': 'detection', 'name': '1'}
    """
    features = []
    for number, polygons in outlines.items():
        rings = [[ring.tolist() for ring in polygon] for polygon in polygons]
        is_one = len(rings) == 1
        properties: dict[str, Any] = {"objectType": "detection", "name": str(number)}
        if classes is not None and number in classes:
            properties["classification"] = {"name": classes[number]}
        features.append(
            {
                "type": "Feature",
                "geometry": {
                    "type": "Polygon" if is_one else "MultiPolygon",
                    "coordinates": rings[0] if is_one else rings,
                },
                "properties": properties,
            }
        )
    return {"type": "FeatureCollection", "features": features}


def _rings(inside: np.ndarray) -> list[np.ndarray]:
    """The closed lines around a mask, (N, 2) x and y of their corners, the mask to the right."""
    padded = np.pad(inside, 1)
    # Beginnings of the edges that run right, down, left and up: the corners of a pixel in turn.
    beginnings = ((0, 0), (1, 0), (1, 1), (0, 1))
    neighbours = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    edges: dict[tuple[tuple[int, int], int], None] = {}  # a set that keeps its order
    for way, (begin, neighbour) in enumerate(zip(beginnings, neighbours, strict=True)):
        rows, columns = np.nonzero(inside & ~neighbour)
        places = zip((columns + begin[0]).tolist(), (rows + begin[1]).tolist(), strict=True)
        edges |= dict.fromkeys((place, way) for place in places)
    left, rings = dict(edges), []
    while left:
        corners: list[tuple[int, int]] = []
        edge = first = next(iter(left))
        while not corners or edge != first:
            del left[edge]
            (x, y), way = edge
            place = x + _STEPS[way][0], y + _STEPS[way][1]
            # To the right first: where two pixels touch at a corner, the line stays with its own.
            turns = ((place, turn % 4) for turn in (way + 1, way, way - 1))
            edge = next(turn for turn in turns if turn in edges)
            if edge[1] != way:
                corners.append(place)
        rings.append(np.array([*corners, corners[0]], np.float64))
    return rings


def _beside(hole: np.ndarray) -> np.ndarray:
    """The middle of a pixel of the hole, which lies to the left of its ring's first edge."""
    step = np.sign(hole[1] - hole[0])
    return hole[0] + 0.5 * step + 0.5 * np.array([step[1], -step[0]])


def _area(ring: np.ndarray) -> float:
    """Signed; positive for a ring around the outside of a mask."""
    x, y = ring[:, 0], ring[:, 1]
    return 0.5 * float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))


def _simplified(ring: np.ndarray, tolerance: float) -> np.ndarray:
    if not tolerance:
        return ring
    simple = approximate_polygon(ring, tolerance)
    return simple if abs(_area(simple)) > _LEAST_AREA * abs(_area(ring)) else ring
