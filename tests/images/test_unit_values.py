"""One rule from stored pixels to unit values, the same in NumPy and in the graph."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_unet3p.images.unit_values import as_type, check_scale, divisor, scaled, to_unit
from keras_unet3p.tiling.in_graph_tiler import to_unit_values

EVERY = [np.arange(np.iinfo(kind).max + 1, dtype=kind) for kind in (np.uint8, np.uint16)]


@pytest.mark.parametrize("stored", EVERY, ids=["uint8", "uint16"])
def test_every_integer_gets_the_same_bits_in_the_graph(stored):
    expected = scaled(stored)
    np.testing.assert_array_equal(to_unit_values(tf.constant(stored)), expected)
    graph = tf.function(to_unit_values, autograph=False)
    np.testing.assert_array_equal(graph(tf.constant(stored)), expected)
    np.testing.assert_allclose(expected, stored / np.iinfo(stored.dtype).max, rtol=1.2e-7)
    assert (expected[0], expected[-1]) == (0, 1)


def test_eight_bits_in_sixteen_are_the_same_unit_values():
    """As the served graph decodes them; but for their last bit."""
    np.testing.assert_allclose(scaled(EVERY[0]), scaled(EVERY[0] * np.uint16(257)), rtol=2e-7)


@given(st.sampled_from(["dtype", "unit", "255", "65535", "raw"]), st.integers(0, 2**16 - 1))
def test_floats_stay_or_are_divided_by_the_rule(rule, value):
    stored = np.full((2, 3), value, np.float32)
    unit = scaled(stored, rule)
    np.testing.assert_allclose(unit, stored / {"255": 255, "65535": 65535}.get(rule, 1), rtol=2e-7)
    assert unit is not stored


@pytest.mark.parametrize("stored", EVERY, ids=["uint8", "uint16"])
@pytest.mark.parametrize("rule", ["dtype", "raw"])
def test_pixels_of_the_model_s_type_stay_as_they_are(stored, rule):
    assert as_type(stored, rule, stored.dtype) is stored


@pytest.mark.parametrize("stored", EVERY, ids=["uint8", "uint16"])
def test_there_and_back(stored):
    np.testing.assert_array_equal(as_type(scaled(stored), "unit", stored.dtype), stored)


def test_other_types_are_brought_to_the_range_of_the_type():
    assert as_type(np.array([False, True]), "dtype", np.uint8).tolist() == [0, 255]
    overshoot = np.array([-0.01, 0.5, 1.01], np.float32)
    assert as_type(overshoot, "unit", np.uint8).tolist() == [0, 128, 255]
    assert as_type(np.array([0, 255.0]), "255", np.uint16).tolist() == [0, 65535]
    raw = as_type(np.array([7, 300], np.uint16), "raw", np.float32)
    assert (raw.tolist(), raw.dtype) == ([7, 300], np.float32)


def test_what_does_not_fit_the_rule_is_refused_by_name():
    image = np.linspace(0, 200, 400, dtype=np.float32).reshape(20, 20)
    for function in (check_scale, to_unit):
        with pytest.raises(ValueError, match=r"a\.npy: float32 values from .* within \[0, 1\]"):
            function(image, "unit", "a.npy")
    check_scale(image, "255", "a.npy")
    check_scale(image.astype(np.uint8), "unit", "a.npy")
    assert divisor(np.dtype(np.int16), "unit") == 32767
