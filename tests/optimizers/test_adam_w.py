"""AdamW that decays kernels only."""

import keras
import numpy as np
import pytest

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
