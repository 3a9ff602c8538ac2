"""Objects through slices: convex bodies come back whole, however each slice is numbered."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet3p.postprocessing import SliceLinker, link_slices, slice_links

DEPTH, CELL = 7, 14


@st.composite
def bodies(draw):
    """Labels (Z, H, W) of cones and cylinders, leaning or not, each in a square of its own.

    Between two slices radius and place change by at most half a pixel, so that neighbouring slices
    of one body have an IoU far above 0.25; those of different ones have none.
    """
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    labels = np.zeros((DEPTH, rows * CELL, columns * CELL), np.int32)
    y, x = np.mgrid[:CELL, :CELL] - (CELL - 1) / 2
    for number in range(rows * columns):
        first = draw(st.integers(0, DEPTH - 1))
        last = draw(st.integers(first, DEPTH - 1))
        growth, lean_y, lean_x = (draw(st.floats(-0.3, 0.3)) for _ in range(3))
        top, left = (number // columns) * CELL, (number % columns) * CELL
        for z in range(first, last + 1):
            step = z - (first + last) / 2
            inside = np.hypot(y - lean_y * step, x - lean_x * step) <= 4.5 + growth * step
            labels[z, top : top + CELL, left : left + CELL][inside] = number + 1
    return labels


def _renumbered(slice_, seed):
    random = np.random.default_rng(seed)
    names = np.concatenate([[0], 1 + random.permutation(int(slice_.max()) + 20)])
    return names[slice_].astype(np.int32)


def _same_objects(one, other):
    """Whether two labels differ in nothing but the names of objects."""
    pairs = set(zip(one.ravel().tolist(), other.ravel().tolist(), strict=True))
    return len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)


@settings(deadline=None, max_examples=40)
@given(bodies(), st.integers(0, 99))
def test_convex_bodies_come_back_whole(labels, seed):
    slices = [_renumbered(slice_, seed + z) for z, slice_ in enumerate(labels)]
    linked = link_slices(slices)
    assert _same_objects(linked, labels)
    assert np.array_equal(np.unique(linked[linked > 0]), 1 + np.arange(linked.max(initial=0)))
    assert np.array_equal(linked, link_slices(labels)), "names within the slices do not matter"


@st.composite
def anything(draw):
    seed, largest = draw(st.integers(0, 999)), draw(st.integers(1, 6))
    return np.random.default_rng(seed).integers(0, largest + 1, (4, 5, 6)).astype(np.int32)


def _stitched(masks, threshold):
    """Cellpose's `stitch3D` as its authors wrote it, but for the objects' overlaps."""
    masks = masks.copy()
    for z in range(len(masks) - 1):
        ids = np.unique(masks[z + 1])[1 if 0 in masks[z + 1] else 0 :]
        previous = np.unique(masks[z])[1 if 0 in masks[z] else 0 :]
        iou = np.zeros((len(ids), len(previous)))
        for i, own in enumerate(ids):
            for j, other in enumerate(previous):
                a, b = masks[z + 1] == own, masks[z] == other
                iou[i, j] = (a & b).sum() / (a | b).sum()
        if not iou.size:
            masks[z + 1][masks[z + 1] > 0] += 1000 * (z + 1)
            continue
        ties = sum((row[row > 0] == row.max()).sum() > 1 for row in (*iou, *iou.T) if row.max() > 0)
        if ties:
            return None
        iou[iou < threshold] = 0
        iou[iou < iou.max(axis=0)] = 0
        names = previous[iou.argmax(axis=1)]
        new = iou.max(axis=1) == 0
        names[new] = 1000 * (z + 1) + ids[new]
        result = np.zeros_like(masks[z + 1])
        for own, name in zip(ids, names, strict=True):
            result[masks[z + 1] == own] = name
        masks[z + 1] = result
    return masks


@settings(deadline=None, max_examples=60)
@given(anything(), st.sampled_from([0.05, 0.25, 0.5]), st.integers(0, 99))
def test_any_labels_are_linked_as_by_cellpose(labels, threshold, seed):
    linked = link_slices(labels, threshold)
    slices = [_renumbered(slice_, seed + z) for z, slice_ in enumerate(labels)]
    assert np.array_equal(linked, link_slices(slices, threshold))
    for slice_, own in zip(labels, linked, strict=True):
        assert _same_objects(slice_, own), "an object of a slice stays one"
    expected = _stitched(labels, threshold)
    if expected is not None:
        assert _same_objects(linked, expected)


def test_of_two_halves_the_larger_one_goes_on():
    before, after = np.zeros((2, 4, 9), int)
    before[1:3, 1:8] = 1
    after[1:3, 1:4], after[1:3, 4:8] = 1, 2
    assert link_slices([before, after])[1, 1].tolist() == [0, 2, 2, 2, 1, 1, 1, 1, 0]
    assert link_slices([after, before])[1].max() == 2, "two that become one: the larger goes on"
    assert set(np.unique(link_slices([before, after], 0.6))) == {0, 1, 2, 3}, "too little overlap"


def test_a_gap_and_another_volume_begin_new_objects():
    body = np.ones((2, 2), int)
    linked = link_slices([body, 0 * body, body])
    assert linked[:, 0, 0].tolist() == [1, 0, 2]
    linker = SliceLinker()
    linker.add(body)
    linker.begin_volume()
    assert linker.add(body).tolist() == [0, 2]


def test_bands_change_nothing(monkeypatch):
    labels = np.random.default_rng(3).integers(0, 9, (3, 20, 7))
    whole = link_slices(labels, 0.05)
    monkeypatch.setattr(slice_links, "_BAND", 3)
    assert np.array_equal(link_slices(labels, 0.05), whole)


def test_what_does_not_fit_is_refused():
    for wrong in (0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="min_iou must be above 0 and at most 1"):
            SliceLinker(wrong)
    with pytest.raises(ValueError, match=r"labels of \(3, 2\); expected \(2, 2\)"):
        link_slices([np.ones((2, 2), int), np.ones((3, 2), int)])
