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


def exact(x, kernel, bias, factor):
    """In float64."""

    def enlarge(y, axis):
        length = y.shape[axis]
        centres = np.clip((np.arange(length * factor) + 0.5) / factor - 0.5, 0, length - 1)
        before = np.floor(centres).astype(int)
        share = (centres - before).reshape(-1, *[1] * (3 - axis))
        after = np.minimum(before + 1, length - 1)
        return (1 - share) * y.take(before, axis) + share * y.take(after, axis)

    x, kernel, bias = (np.asarray(array, "float64") for array in (x, kernel, bias))
    y = enlarge(enlarge(x, 1), 2)
    height, width = y.shape[1:3]
    y = np.pad(y, [(0, 0), (1, 1), (1, 1), (0, 0)])
    taps = [y[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3)]
    return sum(taps) + bias


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 80),
    width=st.integers(1, 80),
    factor=st.integers(1, 9),
    batch=st.integers(1, 2),
    way=st.sampled_from([convolve_then_upsample, upsample_then_convolve]),
)
def test_any_size_and_factor(height, width, factor, batch, way):
    arguments = arrays(batch, height, width, 2, 2)
    expected = exact(*arguments, factor)
    found = way(*arguments, factor)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("way", [convolve_then_upsample, upsample_then_convolve])
@pytest.mark.parametrize(("factor", "long"), [(2, 3100), (3, 3000), (5, 2003), (7, 997)])
@pytest.mark.parametrize("dynamic", [False, True])
def test_long_axes_are_as_exact_as_short_ones(way, factor, long, dynamic):
    for height, width in ((3, long), (long, 3)):
        arguments = arrays(1, height, width, 2, 2)
        shape = (None, None, None, 2) if dynamic else (1, height, width, 2)
        run = tf.function(
            lambda x, kernel, bias: way(x, kernel, bias, factor),
            input_signature=[
                tf.TensorSpec(shape),
                tf.TensorSpec((3, 3, 2, 2)),
                tf.TensorSpec((2,)),
            ],
        )
        expected = exact(*arguments, factor)
        found = run(*arguments)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


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
