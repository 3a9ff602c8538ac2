"""Maps smoothed in whole numbers."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import ndimage

from keras_unet3p.postprocessing.in_graph_watershed import smoothed_in_graph
from keras_unet3p.postprocessing.smoothing import smoothed

MAPS = st_numpy.arrays(
    np.float32,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.one_of(st.floats(0, 1, width=32), st.just(float("nan"))),
)


@settings(deadline=None, max_examples=30)
@given(MAPS, st.integers(1, 4))
def test_the_graph_has_the_same_bits(values, passes):
    found = smoothed(values, passes)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, smoothed_in_graph(tf.constant(values), passes).numpy())


@settings(deadline=None)
@given(MAPS, st.integers(1, 4))
def test_it_stays_within_what_it_smooths(values, passes):
    known = np.nan_to_num(values)
    found = smoothed(values, passes)
    assert known.min() - 1e-4 <= found.min()
    assert found.max() <= known.max() + 1e-4


@pytest.mark.parametrize("passes", [1, 4])
def test_it_is_a_gaussian_of_that_variance(passes):
    values = np.random.default_rng(0).random((60, 70)).astype(np.float32)
    expected = ndimage.gaussian_filter(values, np.sqrt(passes), mode="nearest", truncate=6)
    inside = (slice(12, -12), slice(12, -12))  # several passes go on at the edge anew each time
    assert np.abs(smoothed(values, passes) - expected)[inside].max() < 0.03
    exact = values.astype(np.float64)
    for _ in range(passes):
        for axis in (0, 1):
            weights = np.array([1, 4, 6, 4, 1]) / 16
            exact = ndimage.correlate1d(exact, weights, axis, mode="nearest")
    np.testing.assert_allclose(smoothed(values, passes), exact, atol=passes / 65535)


def test_none_is_none():
    values = np.float32([[0.3, np.nan]])
    assert smoothed(values, 0) is values
