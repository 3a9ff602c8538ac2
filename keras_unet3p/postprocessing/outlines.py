"""Outlines of objects, as polygons."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage
from skimage.measure import approximate_polygon, find_contours, points_in_poly

from keras_unet3p.errors import InputError

_FEWEST_POINTS = 4  # of a closed ring


def object_outlines(
    instances: np.ndarray, *, tolerance: float = 0.0
) -> dict[int, list[list[np.ndarray]]]:
    """The polygons of each object, holes included.

    The lines run halfway between the middles of the pixels inside and outside, so that the middles
    of an object's pixels, and of no others, lie within its polygons. Pixels of an object that only
    touch at a corner are of different polygons.

    Args:
        instances: (H, W) ids, 0 the background.
        tolerance: how far a simplified line may lie from the true one, pixels (Douglas and Peucker
            1973); 0 for all points. A ring that would lose its area stays as it is.

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
        [13, 5]
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
        inside = np.pad(instances[window] == number, 1).astype(np.float64)
        corner = np.array([window[0].start, window[1].start]) - 0.5
        rings = find_contours(inside, 0.5)
        outer = [ring for ring in rings if _area(ring) > 0]
        holes = [ring for ring in rings if _area(ring) <= 0]
        polygons = [[ring] for ring in outer]
        for hole in holes:
            owner = next(
                (polygon for polygon in polygons if points_in_poly(hole[:1], polygon[0])[0]),
                polygons[0],
            )
            owner.append(hole)
        found[number] = [
            [(_simplified(ring, tolerance) + corner)[:, ::-1] for ring in polygon]
            for polygon in polygons
        ]
    return found


def outlines_geojson(outlines: dict[int, list[list[np.ndarray]]]) -> dict[str, Any]:
    """A GeoJSON FeatureCollection of `object_outlines`, as QuPath reads it: a detection for each.

    Coordinates are pixels, rounded to hundredths; an object of several pieces is a MultiPolygon.

    Example:
        >>> collection = outlines_geojson(object_outlines(np.ones((2, 2), int)))
        >>> collection["features"][0]["properties"]
        {'objectType': 'detection', 'name': '1'}
    """
    features = []
    for number, polygons in outlines.items():
        rings = [[np.round(ring, 2).tolist() for ring in polygon] for polygon in polygons]
        is_one = len(rings) == 1
        features.append(
            {
                "type": "Feature",
                "geometry": {
                    "type": "Polygon" if is_one else "MultiPolygon",
                    "coordinates": rings[0] if is_one else rings,
                },
                "properties": {"objectType": "detection", "name": str(number)},
            }
        )
    return {"type": "FeatureCollection", "features": features}


def _area(ring: np.ndarray) -> float:
    """Signed; positive for `find_contours` around high values."""
    rows, columns = ring[:, 0], ring[:, 1]
    return 0.5 * float(np.sum(rows[1:] * columns[:-1] - rows[:-1] * columns[1:]))


def _simplified(ring: np.ndarray, tolerance: float) -> np.ndarray:
    if not tolerance:
        return ring
    simple = approximate_polygon(ring, tolerance)
    return simple if len(simple) >= _FEWEST_POINTS and abs(_area(simple)) > 0 else ring
