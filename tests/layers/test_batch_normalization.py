"""The fused batch normalisation is Keras's, in values, gradients, statistics and files."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet3p import layers, models

TOLERANCE = {"float32": 2e-5, "mixed_bfloat16": 0.05, "mixed_float16": 0.01}


def _steps(layer, images, weights):
    """What two steps of training give: output, gradients, and the weights that are not trained."""
    layer.build(images.shape)
    layer.set_weights([np.linspace(0.5, 1.5, w.size).reshape(w.shape) for w in layer.get_weights()])
    for _ in range(2):
        with tf.GradientTape() as tape:
            tape.watch(images)
            found = layer(images, training=True)
            loss = tf.reduce_sum(tf.cast(found, tf.float32) * weights)
        gradients = tape.gradient(loss, [images, *(v for v in layer.trainable_variables)])
    return [found, *gradients, *layer.get_weights()]


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 4)),
    policy=st.sampled_from(sorted(TOLERANCE)),
    options=st.fixed_dictionaries(
        {
            "momentum": st.sampled_from([0.0, 0.9]),
            "epsilon": st.sampled_from([1e-3, 0.1]),
            "center": st.booleans(),
            "scale": st.booleans(),
        }
    ),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=25, deadline=None)
def test_it_trains_as_that_of_keras(shape, policy, options, seed):
    rng = np.random.default_rng(seed)
    images = tf.constant(rng.normal(rng.normal(0, 3), 1 + rng.random(), shape).astype("float32"))
    weights = rng.normal(size=shape).astype("float32")
    ours, theirs = (
        _steps(kind(dtype=policy, **options), images, weights)
        for kind in (layers.BatchNormalization, keras.layers.BatchNormalization)
    )
    assert ours[0].dtype == theirs[0].dtype
    for mine, other in zip(ours, theirs, strict=True):
        mine, other = (np.asarray(value, np.float32) for value in (mine, other))
        scale = max(1.0, np.abs(other).max())
        np.testing.assert_allclose(mine, other, atol=TOLERANCE[policy] * scale)


def test_in_inference_and_frozen_it_uses_what_it_has_learnt():
    images = np.random.default_rng(0).normal(2, 3, (2, 5, 4, 3)).astype("float32")
    layer = layers.BatchNormalization(momentum=0.0)
    layer(images, training=True)
    found = layer(images, training=False)
    np.testing.assert_allclose(np.mean(found, (0, 1, 2)), 0, atol=1e-5)
    layer.trainable = False
    before = layer.get_weights()
    np.testing.assert_allclose(layer(images * 2, training=True), layer(images * 2), atol=1e-6)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("shape", "options"),
    [((4, 3), {}), ((2, 4, 4, 3), {"axis": 1}), ((2, 4, 4, 3), {"dtype": "float64"})],
)
def test_what_cannot_be_fused_is_left_to_keras(shape, options):
    images = np.random.default_rng(0).normal(2, 3, shape).astype("float64")
    ours, theirs = (
        kind(**options)(images, training=True)
        for kind in (layers.BatchNormalization, keras.layers.BatchNormalization)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_network_trains_with_it_and_is_saved(tmp_path, jit_compile):
    model = models.unet((16, 16, 1), num_classes=1, filters=2, depth=1, batch_norm=True)
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    assert norms
    model.compile(optimizer="sgd", loss="binary_crossentropy", jit_compile=jit_compile)
    images = np.random.default_rng(0).random((2, 16, 16, 1), np.float32)
    before = norms[0].get_weights()[-1]
    model.train_on_batch(images, (images > 0.5).astype("float32"))
    assert np.abs(norms[0].get_weights()[-1] - before).max() > 0
    model.save(tmp_path / "unet.keras")
    again = keras.models.load_model(tmp_path / "unet.keras")
    np.testing.assert_array_equal(model(images), again(images))
