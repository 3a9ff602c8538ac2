"""AdamW that decays kernels only."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet3p import compat, models
from keras_unet3p.optimizers import AdamW


def _model(optimizer):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization()]
    )
    model.set_weights([np.full_like(value, 2) for value in model.get_weights()])
    model.compile(optimizer, "mse")
    return model


def _stepped(model):
    """The trainable weights after one step whose gradients are all zero."""
    gradients = [np.zeros(weight.shape, np.float32) for weight in model.trainable_variables]
    gradients = (
        [keras.ops.convert_to_tensor(g) for g in gradients]
        if hasattr(keras, "ops")
        else [keras.backend.constant(g) for g in gradients]
    )
    model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return [np.asarray(value) for value in model.get_weights()[:4]]


@pytest.mark.parametrize("loaded", [False, True], ids=["built", "loaded"])
def test_kernels_shrink_and_biases_scales_and_offsets_stay(tmp_path, loaded):
    model = _model(AdamW(0.5, weight_decay=0.1))
    if loaded:
        model.save(tmp_path / "model.keras")
        model = keras.models.load_model(tmp_path / "model.keras")
        assert type(model.optimizer) is AdamW
    kernel, *others = _stepped(model)
    np.testing.assert_allclose(kernel, 2 * (1 - 0.5 * 0.1), rtol=1e-6)
    assert all((value == 2).all() for value in others)


def test_without_decay_it_is_adam():
    for value in _stepped(_model(AdamW(0.5, weight_decay=0.0))):
        assert (value == 2).all()


class Reference(keras.optimizers.AdamW):
    """Keras's own, without decay of biases, scales and offsets."""

    def __init__(self, learning_rate, weight_decay=1e-4, **options):
        super().__init__(learning_rate, weight_decay=weight_decay, **options)
        self.exclude_from_weight_decay(var_names=[r"(^|/)(bias|gamma|beta)(:\d+)?$"])


def _after_steps(optimizer, policy="float32", steps=3):
    """A model after steps along gradients that are drawn: those of a loss would differ, since a
    step of another rounding is followed by other gradients."""
    with compat.global_policy(policy):
        model = models.unet((16, 16, 1), num_classes=1, filters=2, depth=1, batch_norm=True)
    model.compile(optimizer, "mse")
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=each.shape) for each in model.get_weights()])
    for step in range(steps):
        drawn = [rng.normal(size=each.shape) * 10.0**-step for each in model.trainable_variables]
        gradients = [tf.constant(each, tf.float32) for each in drawn]
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return model


def _assert_same(ours, theirs):
    # TensorFlow takes 1 - beta of the rounded beta, which is another by up to 3e-4 of it.
    for found, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(
    st.floats(1e-4, 1e-1),
    st.floats(0, 0.5),
    st.floats(0.5, 0.95),
    st.floats(0.9, 0.9999),
    st.floats(1e-8, 1e-2),
    st.sampled_from([{}, {"clipnorm": 0.1}, {"amsgrad": True}, {"global_clipnorm": 0.1}]),
)
def test_the_steps_are_those_of_keras(rate, decay, beta_1, beta_2, epsilon, more):
    options = {"weight_decay": decay, "beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
    _assert_same(*(_after_steps(each(rate, **options, **more)) for each in (AdamW, Reference)))


def test_a_schedule_is_followed():
    rates = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.1, 0.01])
    _assert_same(_after_steps(AdamW(rates)), _after_steps(Reference(rates)))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_steps_of_half_precision_are_those_of_keras(policy):
    _assert_same(*(_after_steps(each(1e-2), policy) for each in (AdamW, Reference)))


def test_what_is_saved_is_that_of_keras():
    saved = []
    for optimizer in (AdamW(1e-2), Reference(1e-2)):
        _after_steps(optimizer, steps=2)
        variables = optimizer.variables
        variables = variables() if callable(variables) else variables
        saved.append([np.asarray(variable) for variable in variables])
    for found, expected in zip(*saved, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-7)


def test_a_step_is_one_operation_a_variable():
    model = _after_steps(AdamW(1e-3), steps=1)

    @tf.function
    def step():
        gradients = [tf.ones(each.shape) for each in model.trainable_variables]
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    operations = [each.type for each in step.get_concrete_function().graph.get_operations()]
    assert operations.count("ResourceApplyAdam") == len(model.trainable_variables)
