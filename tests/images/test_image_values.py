from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from keras_unet3p import images
from keras_unet3p.images.image_values import measure_values

RNG = np.random.default_rng(6)
FLOAT = RNG.random((40, 50, 1), np.float32)


@pytest.mark.parametrize("shape", [(40, 50, 1), (400, 500, 3), (1000, 250, 1), (7, 3, 16)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_percentiles_are_those_of_the_pixels(shape, dtype):
    image = (255 * RNG.beta(2, 5, shape)).astype(dtype)
    values = measure_values(image, "a")
    exact = np.percentile(image, (0.1, 0.5, 50, 99.5, 99.9))
    found = (values.low, values.black, values.median, values.white, values.high)
    np.testing.assert_allclose(found, exact, atol=5 if image.size > 400 else 40)
    assert values.smallest == image.min() <= values.low <= values.high <= image.max()
    assert values.largest == image.max()
    assert values.whole == (dtype is not np.float32)


@hypothesis.given(
    shape=st.tuples(st.integers(2, 40), st.integers(2, 40), st.integers(1, 3)),
    value=st.floats(-1e4, 1e4, width=32),
    seed=st.integers(0, 99),
)
def test_a_single_pixel_is_neither_low_nor_high(shape, value, seed):
    rng = np.random.default_rng(seed)
    image = rng.random(shape, np.float32)
    image[tuple(rng.integers(0, side) for side in shape)] = value
    values = measure_values(image, "a")
    assert 0 <= values.low <= values.high <= 1
    assert images.Normalization((0.0,), (1.0,), "unit").to_unit(image).max() == image.max()


@pytest.mark.parametrize("value", [1e38, -3.4e38, 1e20])
def test_a_defect_is_refused_with_its_place(value):
    image = FLOAT.copy()
    image[7, 9] = value
    expected = rf"a\.npy: the value {value:g} at row 7, column 9, where 99\.8 % .* expected no such"
    with pytest.raises(ValueError, match=expected.replace("+", r"\+")):
        measure_values(image, "a.npy")


def test_sparse_images_have_no_defects():
    image = np.zeros((40, 50, 1), np.float32)
    image[3, 4] = 1e30
    assert measure_values(image, "a").largest == np.float32(1e30)
    assert measure_values((image > 0).astype(np.uint8) * 255, "a").largest == 255
