"""The low-resolution way gives what upsampling and convolving gives: values and gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet3p.layers import UpsampleConv2D
from keras_unet3p.layers.upsample_convolution import (
    _Axis,
    convolve_then_upsample,
    low_resolution_pays,
    upsample_then_convolve,
)


def arrays(batch, height, width, channels, filters, seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((batch, height, width, channels), (3, 3, channels, filters), (filters,))
    return [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]


def with_gradients(way, factor):
    """Output, and gradients of a loss that weighs every output pixel differently."""

    def run(x, kernel, bias):
        with tf.GradientTape() as tape:
            tape.watch((x, kernel, bias))
            y = way(x, kernel, bias, factor)
            count = tf.reduce_prod(tf.shape(y))
            weights = tf.reshape(tf.sin(tf.range(tf.cast(count, tf.float32))), tf.shape(y))
            loss = tf.reduce_sum(y * weights)
        return (y, *tape.gradient(loss, (x, kernel, bias)))

    return run


def assert_same(found, expected, tolerance=1e-4):
    for name, one, other in zip(("y", "dx", "dkernel", "dbias"), found, expected, strict=True):
        scale = np.abs(other).max() + 1e-6
        difference = np.abs(one.numpy() - other.numpy()).max() / scale
        assert difference < tolerance, f"{name}: {difference}"


# One block; many blocks with and without a remainder; a short and a long side; odd factors.
SIZES = [(1, 1, 2), (2, 3, 4), (5, 7, 3), (64, 20, 2), (97, 131, 2), (10, 60, 4), (6, 5, 16)]


@pytest.mark.parametrize(("height", "width", "factor"), SIZES)
def test_same_values_and_gradients(height, width, factor):
    inputs = arrays(2, height, width, 3, 4)
    expected = with_gradients(upsample_then_convolve, factor)(*inputs)
    assert_same(with_gradients(convolve_then_upsample, factor)(*inputs), expected)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(("height", "width", "factor"), [(1, 3, 2), (50, 9, 2), (7, 40, 5)])
def test_dynamic_shapes_with_and_without_xla(height, width, factor, jit_compile):
    inputs = arrays(2, height, width, 3, 4)
    expected = with_gradients(upsample_then_convolve, factor)(*inputs)
    dynamic = tf.function(
        with_gradients(convolve_then_upsample, factor),
        input_signature=[
            tf.TensorSpec((None, None, None, 3)),
            tf.TensorSpec((3, 3, 3, 4)),
            tf.TensorSpec((4,)),
        ],
        jit_compile=jit_compile,
    )
    assert_same(dynamic(*inputs), expected)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 80),
    width=st.integers(1, 80),
    factor=st.integers(1, 5),
    batch=st.integers(1, 2),
)
def test_any_size_and_factor(height, width, factor, batch):
    x, kernel, bias = arrays(batch, height, width, 2, 2)
    expected = upsample_then_convolve(x, kernel, bias, factor)
    found = convolve_then_upsample(x, kernel, bias, factor)
    # TensorFlow's own resizing is off by some 1e-5 of a pixel where 1 / factor is not exact.
    np.testing.assert_allclose(found, expected, atol=5e-4)


def test_bfloat16_stays_bfloat16():
    x, kernel, bias = (tf.cast(a, tf.bfloat16) for a in arrays(1, 40, 8, 4, 3))
    y = convolve_then_upsample(x, kernel, bias, 2)
    exact = upsample_then_convolve(*(tf.cast(a, tf.float32) for a in (x, kernel, bias)), 2)
    assert y.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(y, tf.float32), exact, atol=0.05 * np.abs(exact).max())


@settings(max_examples=200, deadline=None)
@given(size=st.integers(1, 5000), factor=st.sampled_from([2, 3, 4, 8, 16]))
def test_cost_is_linear_in_the_size(size, factor):
    # Every output pixel is a dot product of 3 * window numbers: the window must not grow.
    axis = _Axis(size, factor)
    assert axis.window <= 50
    assert axis.blocks * axis.block >= size
    assert axis.blocks * axis.window <= 1.2 * size + 50


@pytest.mark.parametrize("method", ["auto", "low_resolution", "plain"])
def test_weights_are_those_of_conv2d_after_upsampling2d(method):
    x = np.random.default_rng(0).normal(size=(1, 6, 5, 8)).astype("float32")
    image = keras.Input((None, None, 8))
    up = keras.layers.UpSampling2D(4, interpolation="bilinear")(image)
    keras_way = keras.Model(image, keras.layers.Conv2D(3, 3, padding="same")(up))
    layer = UpsampleConv2D(3, 4, method=method)
    assert layer(x).shape == (1, 24, 20, 3)
    layer.set_weights([w + 0.1 for w in keras_way.get_weights()])
    keras_way.set_weights(layer.get_weights())
    np.testing.assert_allclose(layer(x), keras_way(x), atol=1e-5)


def test_without_bias():
    x, kernel, _ = arrays(1, 4, 4, 2, 3)
    for factor in (2, 4):
        expected = upsample_then_convolve(x, kernel, None, factor)
        found = convolve_then_upsample(x, kernel, None, factor)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_auto_takes_the_measured_choice():
    assert not low_resolution_pays(1024, 1)
    assert low_resolution_pays(320, 2)
    assert not low_resolution_pays(8, 2)
    assert low_resolution_pays(8, 16)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"filters": 0}, "filters"), ({"factor": 0}, "factor"), ({"method": "fast"}, "method")],
)
def test_refuses(arguments, word):
    with pytest.raises(ValueError, match=word):
        UpsampleConv2D(**{"filters": 2, "factor": 2, **arguments})


@pytest.mark.parametrize("shape", [(None, None, None, 3), (None, 64, 8, 3)])
def test_can_be_saved_with_its_gradient(shape, tmp_path):
    x = np.random.default_rng(0).normal(size=(2, 64, 8, 3)).astype("float32")
    layer = UpsampleConv2D(2, 2, method="low_resolution")
    expected = layer(x)
    module = tf.Module()
    module.kernel, module.bias = (tf.Variable(weight) for weight in layer.get_weights())
    module.run = tf.function(
        lambda x: convolve_then_upsample(x, module.kernel, module.bias, 2),
        input_signature=[tf.TensorSpec(shape)],
    )
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    with tf.GradientTape() as tape:
        y = loaded.run(tf.constant(x))
        loss = tf.reduce_sum(y**2)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    assert np.any(tape.gradient(loss, loaded.kernel))
