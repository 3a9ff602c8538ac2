"""The black and the white of one image, in NumPy and in the graph."""

import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings

from keras_unet3p.images.stretching import IntensityHistogram, intensity_range, stretch
from keras_unet3p.images.unit_values import scaled
from keras_unet3p.layers import stretching as in_graph
from keras_unet3p.tiling.in_graph_tiler import to_unit_values

PERCENTILES = (1.0, 99.8)


def image_of(seed, dtype, shape=(37, 53, 2)):
    rng = np.random.default_rng(seed)
    values = rng.gamma(2.0, 0.08, shape).clip(0, 1)
    if np.dtype(dtype).kind == "f":
        return values.astype(dtype)
    return np.rint(values * np.iinfo(dtype).max * 0.5).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_of_integers_the_percentiles_are_exact(dtype):
    image = image_of(0, dtype)
    low, high = intensity_range(image, PERCENTILES)
    for channel in range(2):
        expected = np.percentile(image[..., channel], PERCENTILES, method="inverted_cdf")
        found = np.array([low[channel], high[channel]]) * np.iinfo(dtype).max
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


def test_of_floats_they_are_right_to_a_bin():
    image = image_of(1, np.float32)
    found = np.stack(intensity_range(image, PERCENTILES))
    expected = np.percentile(image, PERCENTILES, axis=(0, 1), method="inverted_cdf")
    np.testing.assert_allclose(found, expected, atol=1.0 / 65535)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 99),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 3)),
    is_raw=st.booleans(),
)
def test_the_graph_finds_the_same(seed, dtype, shape, is_raw):
    image = image_of(seed, dtype, shape)
    if is_raw:
        image = image.astype(np.float32) * 700 - 30
    low, high = intensity_range(image, PERCENTILES, "raw" if is_raw else "unit")
    found = tf.function(
        lambda given: in_graph.intensity_range(given, PERCENTILES, to_unit_values, is_raw)
    )(tf.constant(image))
    width = np.float32(1.0) if not is_raw else image.max() - image.min()
    for ours, theirs in ((low, found[0]), (high, found[1])):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1.1 * width / 65535, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_windows_add_up_to_the_whole(dtype):
    """And integers are counted as their unit values are."""
    image = image_of(2, dtype, (300, 20, 1))
    whole = intensity_range(image, PERCENTILES)
    histogram = IntensityHistogram(1)
    for rows in np.array_split(image, 7):
        histogram.add(scaled(rows))
    np.testing.assert_array_equal(np.stack(histogram.range_of(PERCENTILES)), np.stack(whole))


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("value_scale", ["unit", "raw"])
def test_a_constant_image_stays_finite(value, value_scale):
    image = np.full((8, 8, 1), value, np.float32)
    low, high = intensity_range(image, PERCENTILES, value_scale)
    assert np.isfinite(stretch(image, low, high)).all()
    found = in_graph.intensity_range(tf.constant(image), PERCENTILES, is_raw=value_scale == "raw")
    assert np.isfinite(in_graph.stretch(image, *found)).all()
