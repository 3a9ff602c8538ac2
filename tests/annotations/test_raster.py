"""Polygons and run lengths to pixels: by the middles of pixels, each pixel once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_unet3p.annotations import polygon_pixels
from keras_unet3p.annotations.raster import (
    checked_ring,
    ellipse,
    rectangle,
    run_lengths,
    run_pixels,
    window_pixels,
)
from keras_unet3p.postprocessing import object_outlines

MASKS = st_numpy.arrays(bool, st.tuples(*[st.integers(1, 9)] * 2))
POINTS = st.tuples(*[st.floats(-3, 13, allow_nan=False).map(lambda x: round(x, 3))] * 2)


def filled(rings, height, width):
    mask = np.zeros(height * width, bool)
    mask[polygon_pixels(rings, height, width)] = True
    return mask.reshape(height, width)


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_outlines_give_their_pixels_back(mask):
    found = np.zeros_like(mask)
    for polygon in object_outlines(mask.astype(int)).get(1, []):
        found |= filled(polygon, *mask.shape)
    np.testing.assert_array_equal(found, mask)


@settings(max_examples=60, deadline=None)
@given(st.lists(POINTS, min_size=3, max_size=3))
def test_a_pixel_is_inside_if_its_middle_is(points):
    shapely = pytest.importorskip("shapely")
    polygon = shapely.Polygon(points)
    rows, columns = np.indices((9, 10)) + 0.5
    middles = shapely.points(columns, rows)
    clear = shapely.distance(polygon.boundary, middles) > 1e-9
    inside = shapely.contains(polygon, middles)
    np.testing.assert_array_equal(filled([np.array(points)], 9, 10)[clear], inside[clear])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 18)] * 2), min_size=4, max_size=4))
def test_triangles_that_share_an_edge_share_no_pixel(points):
    """Also where the edge runs through the middles of pixels."""
    a, b, c, d = np.array(points) / 2

    def side(point):
        (x, y), (u, v) = b - a, point - a
        return np.sign(x * v - y * u)

    if side(c) * side(d) < 0:
        first, second = filled([np.array([a, b, c])], 9, 9), filled([np.array([b, a, d])], 9, 9)
        assert not (first & second).any()


def test_what_lies_outside_is_cut_off():
    assert filled([rectangle(-5, -5, 2, 1)], 3, 4).sum() == 2
    assert not filled([rectangle(50, 50, 60, 60)], 3, 4).any()
    assert filled([rectangle(-(2**19), -(2**19), 2**19, 2**19)], 3, 4).all()


def test_a_circle_has_the_area_of_one():
    area = filled([ellipse(50, 50, 40, 40)], 100, 100).sum()
    assert abs(area / (np.pi * 40**2) - 1) < 0.005


@settings(max_examples=60, deadline=None)
@given(MASKS.filter(np.any), st.booleans())
def test_run_lengths_and_back(mask, by_columns):
    places = np.flatnonzero(mask.T if by_columns else mask)
    lengths = run_lengths(places, mask.size)
    assert lengths.sum() == mask.size
    assert (lengths[1:] > 0).all()
    found = np.zeros(mask.size, bool)
    found[run_pixels(lengths, by_columns, *mask.shape)] = True
    np.testing.assert_array_equal(found.reshape(mask.shape), mask)


def test_runs_of_no_pixel():
    assert run_pixels(np.array([0, 2, 0, 1, 3]), False, 2, 3).tolist() == [0, 1, 2]
    assert run_pixels(np.array([6]), False, 2, 3).tolist() == []


def test_a_window_over_the_edge():
    assert window_pixels(np.ones((3, 3), bool), -2, -2, 4, 4).tolist() == [0]


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([[0, 0], [1, 1]], r"a ring of shape \(2, 2\)"),
        ([[0, 0], [1, 1], [float("nan"), 2]], "the coordinate nan"),
        ([[0, 0], [1, 1], [3e9, 2]], r"the coordinate 3e\+09"),
        ([[0, 0], [1], [2, 2]], "other things than pairs of numbers"),
        ("abc", "other things than pairs of numbers"),
        (None, r"a ring of shape \(\)"),
    ],
)
def test_what_is_no_ring(points, said):
    with pytest.raises(ValueError, match=said):
        checked_ring(points)
