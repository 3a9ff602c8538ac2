"""Outlines hold the pixels of their objects, and no others."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from skimage.measure import points_in_poly

from keras_unet3p import data
from keras_unet3p.postprocessing import object_outlines, outlines_geojson


def _filled(polygons, shape):
    """The pixels whose middles lie within the polygons."""
    rows, columns = np.indices(shape)
    middles = np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], -1)
    inside = np.zeros(middles.shape[0], bool)
    for outer, *holes in polygons:
        of_polygon = points_in_poly(middles, outer)
        for hole in holes:
            of_polygon &= ~points_in_poly(middles, hole)
        inside |= of_polygon
    return inside.reshape(shape)


@settings(max_examples=60, deadline=None)
@given(
    st_numpy.arrays(
        np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2)
    )
)
def test_an_outline_gives_its_pixels_back(ids):
    found = object_outlines(ids)
    assert list(found) == sorted(set(np.unique(ids)) - {0})
    for number, polygons in found.items():
        np.testing.assert_array_equal(_filled(polygons, ids.shape), ids == number)
        assert sum(map(_area, polygons)) == (ids == number).sum()
        for polygon in polygons:
            for ring in polygon:
                np.testing.assert_array_equal(ring[0], ring[-1])


def _area(polygon):
    """Of the outer ring without the holes, by the shoelace formula."""
    outer, *holes = (
        abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2 for x, y in (ring.T for ring in polygon)
    )
    return outer - sum(holes)


def test_a_hole_belongs_to_the_piece_around_it():
    ids = np.zeros((11, 11), int)
    ids[1:10, 1:10] = 1
    ids[2:9, 2:9] = 0
    ids[3:8, 3:8] = 1
    ids[5, 5] = 0
    areas = [_area(polygon) for polygon in object_outlines(ids)[1]]
    assert sorted(areas) == [24.0, 32.0]


def test_a_ring_has_corners_only():
    ring = object_outlines(np.ones((40, 70), int))[1][0][0]
    assert sorted(set(map(tuple, ring.tolist()))) == [(0, 0), (0, 40), (70, 0), (70, 40)]


def test_a_tolerance_does_not_take_an_object_away():
    for polygons in object_outlines(np.eye(6, dtype=int), tolerance=3).values():
        assert [_area(polygon) for polygon in polygons] == [1.0] * 6


def test_simplified_outlines_stay_near_and_are_shorter():
    ids = data.generate_cells(128, seed=2)[1]
    exact, simple = object_outlines(ids), object_outlines(ids, tolerance=0.7)
    points = [
        sum(len(ring) for polygons in found.values() for polygon in polygons for ring in polygon)
        for found in (exact, simple)
    ]
    assert points[1] < 0.5 * points[0]
    for number, polygons in simple.items():
        found, true = _filled(polygons, ids.shape), ids == number
        assert (found & true).sum() / (found | true).sum() > 0.85


def test_geojson_has_a_detection_for_each_object():
    ids = data.generate_cells(64, seed=1)[1]
    collection = json.loads(json.dumps(outlines_geojson(object_outlines(ids))))
    assert collection["type"] == "FeatureCollection"
    names = [feature["properties"]["name"] for feature in collection["features"]]
    assert names == [str(number) for number in sorted(set(np.unique(ids)) - {0})]
    for feature in collection["features"]:
        assert feature["properties"]["objectType"] == "detection"
        assert feature["geometry"]["type"] == "Polygon"
        ring = feature["geometry"]["coordinates"][0]
        assert ring[0] == ring[-1]


def test_what_is_not_accepted():
    with pytest.raises(ValueError, match=r"instances must be \(H, W\), found shape \(2, 2, 1\)"):
        object_outlines(np.ones((2, 2, 1), int))
    with pytest.raises(ValueError, match="tolerance must be at least 0 pixels, found -1"):
        object_outlines(np.ones((2, 2), int), tolerance=-1)
