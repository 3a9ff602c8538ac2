from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_unet3p import data
from keras_unet3p.data import pairing

RNG = np.random.default_rng(3)


def opened(count: int = 10, channels: int = 2, **options) -> data.LabeledImages:
    shapes = [(20 + n, 31, channels) for n in range(count)]
    images = [RNG.integers(0, 60000, shape, np.uint16) // (n + 1) for n, shape in enumerate(shapes)]
    masks = [RNG.integers(0, 2, shape[:2], np.uint8) for shape in shapes]
    return data.open_images(images, masks, **options)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_normalization_is_that_of_all_pixels(channels):
    folder = opened(channels=channels)
    pixels = np.concatenate([s.image.reshape(-1, channels) for s in folder]).astype(np.float64)
    normalization = folder.normalization()
    np.testing.assert_allclose(normalization.mean, pixels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(normalization.std, pixels.std(0), rtol=1e-5)
    np.testing.assert_allclose(folder.value_range, (pixels.min(), pixels.max()), rtol=1e-5)
    low, high = folder.typical_range
    assert pixels.min() <= low < high < pixels.max()


def test_normalization_of_a_part_is_that_of_its_own_pixels():
    part = opened(channels=1).subset([2, 5])
    pixels = np.concatenate([sample.image.ravel() for sample in part])
    np.testing.assert_allclose(part.normalization().mean, pixels.mean(), rtol=1e-5)


def test_a_slice_is_a_part():
    folder = opened()
    part = folder[2:8:3]
    assert part.names == ["0002", "0005"]
    np.testing.assert_array_equal(part[-1].image, folder[5].image)
    assert [sample.name for sample in folder[8:]] == ["0008", "0009"]


def test_a_constant_channel_gets_the_standard_deviation_one():
    image = np.full((16, 16, 2), 7, np.uint8)
    image[..., 1] = np.arange(16)
    normalization = data.open_images([image], [image[..., 1] > 3]).normalization()
    assert normalization.std[0] == 1.0
    assert normalization.std[1] == pytest.approx(image[..., 1].std() / 255)


@pytest.mark.parametrize("contiguous", [False, True])
def test_split(contiguous):
    folder = opened()
    train, validation = folder.split(0.3, seed=4, contiguous=contiguous)
    assert (len(train), len(validation)) == (7, 3)
    assert sorted(train.names + validation.names) == folder.names
    again = folder.split(0.3, seed=4, contiguous=contiguous)
    assert again[1].names == validation.names
    others = {tuple(folder.split(0.3, s, contiguous=contiguous)[1].names) for s in range(20)}
    assert len(others) > 3
    numbers = [int(name) for name in validation.names]
    if contiguous:
        assert numbers == list(range(numbers[0], numbers[0] + 3))
    assert validation[0].image.shape == folder[numbers[0]].image.shape


def test_split_leaves_something_on_both_sides():
    folder = opened(2)
    for fraction in (0.01, 0.99):
        assert [len(part) for part in folder.split(fraction, 0)] == [1, 1]
    with pytest.raises(ValueError, match="fraction is 1; expected"):
        folder.split(1, 0)
    with pytest.raises(ValueError, match="1 image cannot be split"):
        folder.subset([0]).split(0.5, 0)
    with pytest.raises(ValueError, match="indices: none"):
        folder.subset([])


def test_what_was_decoded_is_kept_within_a_bound(folder, monkeypatch):
    image = RNG.integers(0, 256, (32, 32), np.uint8)
    for name in "abc":
        folder.add(name, image, image > 100)
    decoded = []
    plain = pairing.FileSource.read

    def read(self, *, labels):
        decoded.append(self.path.stem)
        return plain(self, labels=labels)

    monkeypatch.setattr(pairing.FileSource, "read", read)
    roomy, tight = folder.open(), folder.open(cache_bytes=2 * 2 * 32 * 32)
    decoded.clear()
    for _ in range(3):
        for index in range(3):
            roomy.stored(index)
    assert len(decoded) == 6
    decoded.clear()
    for _ in range(3):
        for index in range(3):
            tight.stored(index)
    assert len(decoded) == 18
    decoded.clear()
    tight.stored(2)
    tight.stored(1)
    assert not decoded
    assert not folder.open(cache_bytes=0).stored(0)[0].flags.writeable


def test_an_image_may_come_with_several_masks(folder):
    folder.add("q", np.zeros((32, 32), np.uint8), None)
    (file,) = (path for path in folder.images.iterdir())
    masks = [np.ones((32, 32), np.uint8), np.zeros((32, 32), np.uint8)]
    twice = data.open_images([file, file], masks)
    for _ in range(2):  # decoded, then kept
        assert [sample.labels.mean() for sample in twice] == [1, 0]


@pytest.mark.parametrize("kind", [np.uint8, np.int32, bool])
def test_arrays_stay_their_owners(kind):
    image = RNG.integers(0, 256, (32, 32, 3), np.uint8)
    mask = RNG.integers(0, 2, (32, 32, 1)).astype(kind)
    stored = data.open_images([image], [mask]).stored(0)
    assert not any(array.flags.writeable for array in stored)
    assert image.flags.writeable
    assert mask.flags.writeable


def test_a_file_that_changed_is_named(folder):
    folder.add("a", np.zeros((32, 32), np.uint8), np.eye(32, dtype=np.uint8))
    opened_folder = folder.open()
    folder.add("a", np.zeros((32, 33), np.uint8), None)
    with pytest.raises(ValueError, match=r"a\.npy: changed since it was checked"):
        opened_folder[0]


def test_it_says_what_it_holds():
    text = repr(opened())
    assert text == (
        "LabeledImages(10 images, 20x31 to 29x31, 2 channels, uint16, values dtype, "
        "masks binary, 1 class)"
    )


@given(
    images=st.integers(2, 12), share=st.floats(0, 1), seed=st.integers(0, 99), near=st.booleans()
)
def test_folds(images, share, seed, near):
    folder = opened(images)
    count = 2 + round(share * (images - 2))
    folds = folder.folds(count, seed, contiguous=near)
    held_out = [validation.names for _, validation in folds]
    assert len(folds) == count
    assert sorted(name for names in held_out for name in names) == sorted(folder.names)
    assert max(map(len, held_out)) - min(map(len, held_out)) <= 1
    for train, validation in folds:
        kept = set(validation.names)
        assert train.names == [name for name in folder.names if name not in kept]
        assert validation.names == [name for name in folder.names if name in kept]
    if near:
        assert [name for names in held_out for name in names] == list(folder.names)
    again = folder.folds(count, seed, contiguous=near)
    assert [validation.names for _, validation in again] == held_out


def test_folds_differ_by_seed_and_are_refused():
    folder = opened(6)
    assert len({tuple(folder.folds(3, seed)[0][1].names) for seed in range(9)}) > 3
    for count in (1, 7):
        with pytest.raises(ValueError, match=f"count: {count} folds of 6 images"):
            folder.folds(count, 0)
