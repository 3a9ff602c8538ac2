"""Which weights a prediction may have."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p.targets.sample_weights import split_sample_weight

PREDICTION = tf.zeros((2, 5, 4, 3))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64, bool])
def test_forms(dtype):
    for shape in ((2, 5, 4), (2, 5, 4, 1)):
        pixels, images, poison = split_sample_weight(np.ones(shape, dtype), PREDICTION)
        assert images is None
        assert poison == 0
        np.testing.assert_array_equal(pixels, np.ones((2, 5, 4, 1)))
    for shape, expected in (((), ()), ((2,), (2,)), ((2, 1), (2,))):
        pixels, images, _ = split_sample_weight(np.ones(shape, dtype), PREDICTION)
        assert pixels is None
        assert images.shape == expected
    assert split_sample_weight(None, PREDICTION)[:2] == (None, None)


@pytest.mark.parametrize(
    "shape",
    [(3,), (3, 1), (2, 5), (1, 5, 4), (2, 5, 5), (2, 4, 5, 1), (2, 5, 4, 3), (2, 5, 4, 1, 1)],
)
def test_other_shapes(shape):
    with pytest.raises(ValueError, match=r"sample_weight must be .*\(2, 5, 4, 3\)"):
        split_sample_weight(np.ones(shape), PREDICTION)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e-6])
@pytest.mark.parametrize("shape", [(), (2,), (2, 5, 4)])
def test_values_that_are_no_weights(value, shape):
    weights = np.ones(shape, np.float32)
    weights.flat[-1] = value
    with pytest.raises(ValueError, match=r"finite weights of at least 0\. Received"):
        split_sample_weight(weights, PREDICTION)

    def poison(weights):
        return split_sample_weight(weights, PREDICTION)[2]

    with pytest.raises(tf.errors.InvalidArgumentError, match="finite weights"):
        tf.function(poison)(tf.constant(weights))
    assert np.isnan(tf.function(poison, jit_compile=True)(tf.constant(weights)))
    assert tf.function(poison, jit_compile=True)(tf.ones(shape)) == 0
