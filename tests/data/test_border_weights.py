from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from keras_unet3p.data import border_weight_map, generate_cells


def slow_border_term(labels: np.ndarray, w0: float = 10.0, sigma: float = 5.0) -> np.ndarray:
    """Ronneberger et al. 2015, equation 2, one full-image distance transform a cell."""
    cells = [cell for cell in np.unique(labels) if cell]
    if len(cells) < 2:
        return np.zeros(labels.shape)
    distances = np.sort([ndimage.distance_transform_edt(labels != cell) for cell in cells], axis=0)
    return w0 * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * sigma**2))


def slow_balance(labels: np.ndarray) -> np.ndarray:
    cell = labels > 0
    if cell.all() or not cell.any():
        return np.ones(labels.shape)
    return np.where(cell, 0.5 / cell.mean(), 0.5 / (1 - cell.mean()))


@st.composite
def label_images(draw) -> np.ndarray:
    height, width = draw(st.integers(1, 120)), draw(st.integers(1, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = np.zeros((height, width), np.int64)
    highest = draw(st.sampled_from([40, 255, 60000, 10**9]))
    for _ in range(draw(st.integers(0, 25))):
        row, column = rng.integers(0, height), rng.integers(0, width)
        radii = rng.integers(1, draw(st.integers(2, 30)), 2)
        y, x = np.ogrid[:height, :width]
        inside = ((y - row) / radii[0]) ** 2 + ((x - column) / radii[1]) ** 2 <= 1
        labels[inside] = rng.integers(1, highest)
    return labels


@settings(max_examples=80, deadline=None)
@given(label_images())
def test_it_is_the_papers_formula(labels):
    found = border_weight_map(labels, instances=True)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, slow_balance(labels) + slow_border_term(labels), atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(label_images(), st.floats(0, 50), st.floats(0.3, 20))
def test_other_heights_and_widths(labels, w0, sigma):
    found = border_weight_map(labels, w0=w0, sigma=sigma, class_balance=False, instances=True)
    np.testing.assert_allclose(found, 1 + slow_border_term(labels, w0, sigma), atol=1e-4)


@pytest.mark.parametrize("size", [(300, 400), (512, 128)])
def test_many_cells(size):
    _, labels = generate_cells(size, seed=1)
    assert labels.max() > 15
    found = border_weight_map(labels, class_balance=False)
    np.testing.assert_allclose(found, 1 + slow_border_term(labels), atol=1e-4)


def test_several_groups_of_cells():
    """More cells than are compared with one another at once."""
    labels = np.zeros((200, 300), np.int32)
    rows, columns = np.meshgrid(np.arange(3, 200, 9), np.arange(3, 300, 9), indexing="ij")
    order = np.random.default_rng(0).permutation(rows.size) + 1
    labels[rows.ravel(), columns.ravel()] = order
    assert labels.max() > 700
    expected = np.full(labels.shape, np.inf)
    second = expected.copy()
    y, x = np.mgrid[:200, :300]
    for row, column in zip(rows.ravel(), columns.ravel(), strict=True):
        distance = np.hypot(y - row, x - column)
        second = np.minimum(second, np.maximum(expected, distance))
        expected = np.minimum(expected, distance)
    found = border_weight_map(labels, class_balance=False)
    np.testing.assert_allclose(found, 1 + 10 * np.exp(-((expected + second) ** 2) / 50), atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.int64])
def test_every_integer_type(dtype):
    _, labels = generate_cells(64, seed=2)
    np.testing.assert_array_equal(
        border_weight_map(labels.astype(dtype)), border_weight_map(labels)
    )


def test_a_cell_in_pieces_is_one_cell():
    labels = np.zeros((40, 60), int)
    labels[10:20, 5:10] = labels[10:20, 14:20] = 7
    found = border_weight_map(labels, class_balance=False, instances=True)
    np.testing.assert_array_equal(found, 1)
    labels[10:20, 14:20] = 9
    assert border_weight_map(labels).max() > 5
    labels[30:34] = 7  # with a second id about, they are ids without being told
    np.testing.assert_array_equal(
        border_weight_map(labels), border_weight_map(labels, instances=True)
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
@pytest.mark.parametrize("value", [1, 7, 255])
def test_integer_masks_of_one_value_are_binary(value, dtype):
    mask = np.zeros((30, 30), bool)
    mask[5:10, 5:10] = mask[5:10, 13:18] = True
    labels = (mask * value).astype(dtype)
    assert border_weight_map(labels).max() > 5
    np.testing.assert_array_equal(border_weight_map(labels), border_weight_map(mask))


def test_instances_says_what_the_labels_are():
    mask = np.zeros((30, 30), bool)
    mask[5:10, 5:10] = mask[5:10, 13:18] = True
    for labels in (mask, mask * 3):
        one_cell = border_weight_map(labels, class_balance=False, instances=True)
        np.testing.assert_array_equal(one_cell, 1)
    ids = mask.astype(int)
    ids[5:10, 15:18] = 2  # a second cell, which touches the first
    np.testing.assert_array_equal(border_weight_map(ids, instances=False), border_weight_map(mask))
    assert (border_weight_map(ids) != border_weight_map(mask)).any()


def test_bool_masks_are_split_into_8_connected_components():
    mask = np.zeros((30, 30), bool)
    mask[5:10, 5:10] = mask[10:15, 10:15] = True  # touch at a corner: one cell
    np.testing.assert_array_equal(border_weight_map(mask, class_balance=False), 1)
    mask[5:10, 13:18] = True
    labels = ndimage.label(mask, np.ones((3, 3)))[0]
    np.testing.assert_array_equal(border_weight_map(mask), border_weight_map(labels))


def test_inside_a_cell_the_own_distance_is_zero():
    labels = np.zeros((30, 40), int)
    labels[:, :20], labels[:, 20:] = 1, 2
    column = border_weight_map(labels, class_balance=False)[15]
    np.testing.assert_allclose(column[19], 1 + 10 * np.exp(-1 / 50), atol=1e-4)
    np.testing.assert_allclose(column[15], 1 + 10 * np.exp(-25 / 50), atol=1e-4)


@pytest.mark.parametrize("fill", [0, 1])
def test_fewer_than_two_cells_have_no_border_term(fill):
    labels = np.full((20, 30), fill)
    np.testing.assert_array_equal(border_weight_map(labels), 1)
    labels[5:9, 5:9] = 1
    np.testing.assert_allclose(border_weight_map(labels), slow_balance(labels), atol=1e-6)


def test_class_balance():
    _, labels = generate_cells(96, seed=3)
    term = slow_border_term(labels)
    assert border_weight_map(labels, w0=0).mean() == pytest.approx(1)
    np.testing.assert_allclose(
        border_weight_map(labels, class_balance=(0.25, 3.0)),
        np.where(labels > 0, 3.0, 0.25) + term,
        atol=1e-4,
    )


def test_an_empty_image():
    for dtype in (int, bool):
        assert border_weight_map(np.zeros((0, 5), dtype)).shape == (0, 5)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (np.zeros((4, 4, 1), int), {}, r"labels: shape \(4, 4, 1\) of int64; expected \(height"),
        (np.zeros((4, 4)), {}, "of float64; expected"),
        (np.full((4, 4), -1), {}, "labels: the value -1; expected 0 or positive"),
        (np.zeros((4, 4), int), {"sigma": 0}, "sigma = 0; expected"),
        (np.zeros((4, 4), int), {"w0": -1}, "w0 = -1"),
        (np.zeros((4, 4), int), {"w0": float("inf")}, "w0 = inf"),
        (np.zeros((4, 4), int), {"class_balance": (1, 2, 3)}, "class_balance is"),
        (np.zeros((4, 4), int), {"class_balance": (1, -2)}, "class_balance is"),
        (np.zeros((4, 4), int), {"instances": "auto"}, "instances is 'auto'; expected True"),
    ],
)
def test_arguments_out_of_range(labels, options, message):
    with pytest.raises(ValueError, match=message):
        border_weight_map(labels, **options)
