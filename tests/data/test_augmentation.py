from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from keras_unet3p.data import Augmentation, generate_cells
from keras_unet3p.data.augmentation import displacement_field

NONE = Augmentation.none()
SHAPE_ONLY = Augmentation(gamma=0, brightness=0, contrast=0, noise=0)
GREY_ONLY = Augmentation(elastic_sigma=0, rotation=0, shift=0, scale=0, flips=False)

shapes_only = st.builds(
    Augmentation,
    elastic_sigma=st.floats(0, 15),
    elastic_grid=st.integers(2, 6),
    rotation=st.floats(0, 180),
    shift=st.floats(0, 0.7),
    scale=st.floats(0, 0.8),
    flips=st.booleans(),
    gamma=st.just(0.0),
    brightness=st.just(0.0),
    contrast=st.just(0.0),
    noise=st.just(0.0),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
)


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(max_examples=60, deadline=None)
@given(
    shapes_only,
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.uint8, np.uint16, np.int32, np.int64]),
)
def test_labels_keep_their_ids_and_types(augmentation, height, width, seed, dtype):
    rng = generator(seed)
    ids = np.array([0, 3, 77, 255, np.iinfo(dtype).max if dtype != np.int64 else 2**31 - 1], dtype)
    labels = rng.choice(ids, (height, width))
    image = rng.random((height, width, 2), np.float32)
    moved, moved_labels = augmentation(image, labels, rng)
    assert moved_labels.dtype == dtype
    assert moved_labels.shape == labels.shape
    assert set(np.unique(moved_labels)) <= set(np.unique(labels))
    assert moved.shape == image.shape
    assert moved.dtype == np.float32
    assert moved.min() >= image.min()
    assert moved.max() <= image.max()


@settings(max_examples=40, deadline=None)
@given(shapes_only, st.integers(0, 2**32 - 1))
def test_image_and_labels_move_together(augmentation, seed):
    _, labels = generate_cells((96, 120), seed=seed % 1000)
    grey = (labels * 37 % 101 / 101).astype(np.float32)  # a function of the label
    moved, moved_labels = augmentation(grey, labels, generator(seed))
    expected = (moved_labels * 37 % 101 / 101).astype(np.float32)
    # Away from outlines interpolation sees one value only, but for parts thinner than a pixel.
    inside = ndimage.minimum_filter(moved_labels, 5) == ndimage.maximum_filter(moved_labels, 5)
    assert np.mean(np.abs(moved - expected)[inside] > 2e-3) < 0.01


@settings(max_examples=25, deadline=None)
@given(shapes_only, st.integers(0, 2**32 - 1), st.integers(-200, 200), st.integers(-200, 200))
def test_a_crop_is_a_part_of_the_mirrored_plane(augmentation, seed, top, left):
    """Only the part of the image that is read is converted; the result must not depend on it."""
    image = generator(seed).random((70, 90, 1), np.float32)
    labels = generator(seed).integers(0, 9, (70, 90)).astype(np.int32)
    height, width = 48, 56
    moved = augmentation.crop(image, labels, top, left, height, width, generator(seed))
    around = [(400, 400), (400, 400)]
    plane = np.pad(image, [*around, (0, 0)], mode="reflect")
    plane_labels = np.pad(labels, around, mode="reflect")
    expected = augmentation.crop(
        plane, plane_labels, top + 400, left + 400, height, width, generator(seed)
    )
    # OpenCV may round positions to 1/32 pixel, which differs a little with the offset.
    assert np.mean(np.abs(moved[0] - expected[0])) < 0.004
    assert np.mean(np.abs(moved[0] - expected[0]) > 0.1) < 0.001
    assert np.mean(moved[1] != expected[1]) < 0.01


def test_one_seed_gives_one_result():
    image, labels = generate_cells(64, seed=1)
    unit = image / np.float32(255)
    first = Augmentation()(unit, labels, generator(5))
    again = Augmentation()(unit, labels, generator(5))
    other = Augmentation()(unit, labels, generator(6))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert np.abs(first[0] - other[0]).max() > 0.05


def test_none_changes_nothing():
    image = generator(0).random((30, 41, 3), np.float32)
    labels = generator(0).integers(0, 70000, (30, 41))
    moved, moved_labels = NONE(image, labels, generator(1))
    np.testing.assert_array_equal(moved, image)
    np.testing.assert_array_equal(moved_labels, labels)
    assert not np.shares_memory(moved_labels, labels)


@pytest.mark.parametrize("shape", [(20, 30), (21, 33)])
def test_flips_are_exact_and_all_four_occur(shape):
    image = generator(0).random(shape, np.float32)
    labels = generator(0).integers(0, 9, shape)
    flips = dataclasses.replace(NONE, flips=True)
    seen = set()
    for seed in range(40):
        moved, moved_labels = flips(image, labels, generator(seed))
        for axes in ((), (0,), (1,), (0, 1)):
            if np.array_equal(moved, np.flip(image, axes)):
                np.testing.assert_array_equal(moved_labels, np.flip(labels, axes))
                seen.add(axes)
    assert len(seen) == 4


def positions(augmentation: Augmentation, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of the middle of the result comes from, read off an image of coordinates."""
    big = 3 * side  # so that no mirror image comes in
    rows, columns = np.mgrid[:big, :big].astype(np.float32)
    image = np.stack([rows, columns], axis=-1)
    moved, _ = augmentation.crop(
        image, np.zeros((big, big), np.uint8), side, side, side, side, generator(seed)
    )
    return moved[..., 0] - side, moved[..., 1] - side


@pytest.mark.parametrize("side", [97, 201])
def test_elastic_displacements_have_the_papers_deviation(side):
    elastic = dataclasses.replace(NONE, elastic_sigma=10.0)
    centre, corner = [], []
    for seed in range(300):
        rows, columns = positions(elastic, side, seed)
        centre += [
            rows[side // 2, side // 2] - side // 2,
            columns[side // 2, side // 2] - side // 2,
        ]
        corner += [rows[0, -1], columns[0, -1] - (side - 1)]
    assert np.std(centre) == pytest.approx(10.0, rel=0.1)
    assert np.mean(centre) == pytest.approx(0.0, abs=1.5)
    if side == 201:  # the grid's corner lies on the image's
        assert np.std(corner) == pytest.approx(10.0, rel=0.1)


@pytest.mark.parametrize("side", [16, 64, 128, 256])
def test_elastic_deformation_does_not_fold_small_images(side):
    folded = 0
    for seed in range(60):
        grid = generator(seed).normal(0, 10, (2, 3, 3))
        down, across = displacement_field(grid, side, side, 96.0)
        (a, b), (c, d) = np.gradient(down), np.gradient(across)
        folded += bool(((1 + a) * (1 + d) - b * c <= 0).any())
    assert folded <= 1


@pytest.mark.parametrize("points", [2, 3, 4, 7])
def test_displacements_are_a_cubic_spline_through_the_grid(points):
    grid = generator(points).normal(0, 10, (2, points, points))
    field = displacement_field(grid, 61, 85)
    assert field.dtype == np.float32
    y, x = np.meshgrid(
        np.linspace(0, points - 1, 61), np.linspace(0, points - 1, 85), indexing="ij"
    )
    for vectors, found in zip(grid, field, strict=True):
        expected = ndimage.map_coordinates(vectors, [y, x], order=3, mode="mirror")
        np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(field[:, 0, 0], grid[:, 0, 0], atol=1e-4)
    np.testing.assert_allclose(field[:, -1, -1], grid[:, -1, -1], atol=1e-4)


@pytest.mark.parametrize("rotation", [30.0, 180.0])
def test_rotation_turns_about_the_centre_by_at_most_the_angle(rotation):
    angles = []
    for seed in range(200):
        rows, columns = positions(dataclasses.replace(NONE, rotation=rotation), 33, seed)
        np.testing.assert_allclose((rows[16, 16], columns[16, 16]), 16, atol=0.05)
        across = (rows[16, 32] - rows[16, 0], columns[16, 32] - columns[16, 0])
        down = (rows[32, 16] - rows[0, 16], columns[32, 16] - columns[0, 16])
        np.testing.assert_allclose(np.hypot(*across), 32, atol=0.2)
        np.testing.assert_allclose(np.hypot(*down), 32, atol=0.2)
        np.testing.assert_allclose(np.dot(across, down), 0, atol=5)
        angles.append(np.degrees(np.arctan2(*across)))
    assert np.abs(angles).max() <= rotation + 0.5
    assert np.abs(angles).max() > 0.95 * rotation
    assert np.min(angles) < -0.9 * rotation
    assert np.max(angles) > 0.9 * rotation


def test_scale_and_shift():
    sizes, shifts = [], []
    for seed in range(200):
        rows, _ = positions(dataclasses.replace(NONE, scale=0.25), 65, seed)
        sizes.append(64 / (rows[64, 32] - rows[0, 32]))
        _, columns = positions(dataclasses.replace(NONE, shift=0.2), 65, seed)
        shifts.append(columns[32, 32] - 32)
        # The same shift up to the rim: what is read there is not the mirror image of the patch.
        assert np.ptp(columns - np.arange(65)) < 0.06
    assert 1 / 1.251 < min(sizes) < 0.82
    assert 1.22 < max(sizes) < 1.251
    assert -13.1 < min(shifts) < -12
    assert 12 < max(shifts) < 13.1


def test_what_lies_beyond_the_border_is_mirrored():
    image = np.arange(40, dtype=np.float32)[None].repeat(40, 0) / 40
    shifted = dataclasses.replace(NONE, shift=0.5, interpolation="bilinear")
    for seed in range(10):
        moved, _ = shifted(image, np.zeros((40, 40), int), generator(seed))
        row = moved[20]
        assert np.all((row >= 0) & (row <= 39 / 40))
        assert np.abs(np.diff(row)).max() < 1.2 / 40  # no jump at the border


def test_each_change_of_grey_values():
    image = generator(0).random((50, 60, 2), np.float32)
    labels = generator(0).integers(0, 3, (50, 60))
    nothing = {"gamma": 0.0, "brightness": 0.0, "contrast": 0.0, "noise": 0.0}

    def changed(**amounts):
        augmentation = dataclasses.replace(GREY_ONLY, **{**nothing, **amounts})
        result, same_labels = augmentation(image, labels, generator(3))
        np.testing.assert_array_equal(same_labels, labels)
        return result

    gamma = changed(gamma=1.0)
    inner = (image > 0.1) & (image < 0.9)
    exponent = np.log(gamma.astype(np.float64)[inner]) / np.log(image[inner])
    np.testing.assert_allclose(exponent, np.median(exponent), rtol=1e-3)
    assert 0.5 <= np.median(exponent) <= 2.0
    assert abs(np.median(exponent) - 1) > 0.01

    brightness = changed(brightness=0.2)
    inner = (brightness > 0) & (brightness < 1)
    offset = (brightness - image)[inner]
    np.testing.assert_allclose(offset, offset[0], atol=1e-5)
    assert 0.01 < abs(offset[0]) <= 0.2

    contrast = changed(contrast=0.5)
    inner = (contrast > 0) & (contrast < 1) & (np.abs(image - image.mean()) > 0.1)
    gain = ((contrast - image.mean()) / (image - image.mean()))[inner]
    np.testing.assert_allclose(gain, gain[0], rtol=1e-3)
    assert 1 / 1.5 <= gain[0] <= 1.5

    noise = changed(noise=0.1)
    inner = (image > 0.4) & (image < 0.6)
    difference = (noise - image)[inner]
    assert 0.001 < difference.std() <= 0.101
    assert abs(difference.mean()) < 0.02
    assert abs(np.corrcoef(noise[..., 0].ravel() - image[..., 0].ravel(),
                           noise[..., 1].ravel() - image[..., 1].ravel())[0, 1]) < 0.1  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-2000, 2000),
    st.floats(0.01, 5000),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 6]),
)
def test_grey_changes_follow_the_range_of_the_values(low, span, seed, channels):
    """A picture in another range changes as it does in unit values."""
    unit = generator(seed).random((20, 24, channels), np.float32)
    image = (unit * span + low).astype(np.float32)
    expected = GREY_ONLY.change_grey(unit, generator(seed))
    found = GREY_ONLY.change_grey(image, generator(seed), (low, low + span), (low, low + span))
    error = 2e-3 + 1e-5 * abs(low) / span
    np.testing.assert_allclose((found - low) / span, expected, atol=error)


def test_darker_than_black_stays_finite():
    image = np.linspace(-0.5, 1.5, 400, dtype=np.float32).reshape(20, 20, 1)
    for seed in range(20):
        changed = GREY_ONLY.change_grey(image, generator(seed), (0.0, 1.0), (-1.0, 2.0))
        assert np.isfinite(changed).all()


def test_more_than_four_channels():
    image = generator(0).random((40, 40, 7), np.float32)
    labels = np.zeros((40, 40), np.uint8)
    moved, _ = SHAPE_ONLY(image, labels, generator(1))
    for channel in range(7):
        alone, _ = SHAPE_ONLY(image[..., channel], labels, generator(1))
        np.testing.assert_allclose(np.clip(moved[..., channel], *_ends(image[..., channel])), alone)


def _ends(array):
    return array.min(), array.max()


def test_json_round_trip():
    made = Augmentation(elastic_grid=5, flips=False, interpolation="bilinear", noise=0)
    assert Augmentation.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotation": -1}, "rotation is -1; expected a number of at least 0"),
        ({"noise": float("nan")}, "noise is nan; expected"),
        ({"elastic_grid": 1}, "elastic_grid is 1; expected at least 2"),
        ({"interpolation": "cubic"}, "interpolation is 'cubic'; accepted are bilinear, bicubic"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"image \(4, 5\), labels \(5, 4\); expected"):
        NONE(np.zeros((4, 5), np.float32), np.zeros((5, 4), int), generator(0))
    with pytest.raises(ValueError, match="image of uint8; expected floats in unit values"):
        NONE(np.zeros((4, 5), np.uint8), np.zeros((4, 5), int), generator(0))
