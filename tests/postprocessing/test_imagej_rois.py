"""Outlines as ImageJ's regions of interest: read by roifile, filled as ImageJ fills them."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from roifile import ROI_TYPE, ImagejRoi
from skimage.measure import points_in_poly

from keras_unet3p.postprocessing import object_outlines, outlines_rois


def _read(encoded):
    archive = zipfile.ZipFile(io.BytesIO(encoded))
    return [ImagejRoi.frombytes(archive.read(name)) for name in archive.namelist()]


def _filled(roi, shape):
    """By the even-odd rule, at the middles of the pixels."""
    middles = np.stack(np.nonzero(np.ones(shape)), axis=-1)[:, ::-1] + 0.5
    rings = roi.coordinates(multi=True)
    inside = sum(points_in_poly(middles, ring).astype(int) for ring in rings)
    return (inside % 2 == 1).reshape(shape)


@settings(max_examples=60, deadline=None)
@given(st_numpy.arrays(np.int32, st.tuples(*[st.integers(1, 9)] * 2), elements=st.integers(0, 3)))
def test_a_region_holds_its_objects_pixels(ids):
    rois = _read(outlines_rois(object_outlines(ids)))
    assert [int(roi.name) for roi in rois] == np.unique(ids[ids > 0]).tolist()
    for roi in rois:
        np.testing.assert_array_equal(_filled(roi, ids.shape), ids == int(roi.name))


def test_one_ring_is_traced_and_more_are_a_composite():
    ids = np.zeros((8, 9), int)
    ids[1:4, 2:6] = 1
    ids[5:8, 0:3] = 2
    ids[6, 1] = 0
    traced, composite = _read(outlines_rois(object_outlines(ids)))
    assert traced.roitype == ROI_TYPE.TRACED
    assert (traced.left, traced.top, traced.right, traced.bottom) == (2, 1, 7, 5)
    assert not traced.composite
    assert composite.composite
    assert (composite.left, composite.top, composite.right, composite.bottom) == (0, 5, 3, 8)


@pytest.mark.parametrize("shift", [0, 40_000, 70_000])
def test_places_in_large_images(shift):
    outlines = object_outlines(np.ones((3, 4), int))
    moved = {1: [[ring + shift for ring in polygon] for polygon in outlines[1]]}
    (roi,) = _read(outlines_rois(moved))
    corners = {tuple(corner) for corner in roi.coordinates().tolist()}
    assert corners == {tuple(corner) for corner in moved[1][0][0].tolist()}
