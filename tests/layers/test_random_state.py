"""Random numbers go on after loading where they were at saving."""

import keras
import numpy as np

from keras_unet3p import compat, layers, models
from keras_unet3p.models.encoders import EncoderFeatures

IMAGE = np.random.default_rng(0).random((2, 16, 16, 1)).astype("float32")
MASK = (IMAGE[..., 0] > 0.5).astype("int32")


def step(model):
    return model.fit(IMAGE, MASK, verbose=0, shuffle=False).history["loss"]


def test_a_saved_training_continues_as_if_it_had_not_been_interrupted(tmp_path):
    model = models.unet((16, 16, 1), filters=2, depth=1, padding="same")
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "binary_crossentropy")
    step(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for _ in range(2):
        assert step(loaded) == step(model)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_weight_files_hold_the_state_too_and_weights_do_not(tmp_path):
    def build():
        image = keras.Input((8,))
        return keras.Model(image, layers.Dropout(0.5)(image))

    one, other = build(), build()
    assert not one.weights
    assert not one.count_params()
    ones = np.ones((4, 8), "float32")
    one(ones, training=True)
    one.save_weights(tmp_path / "one.weights.h5")
    other.load_weights(tmp_path / "one.weights.h5")
    np.testing.assert_array_equal(other(ones, training=True), one(ones, training=True))


def test_a_file_without_the_state_is_loaded(tmp_path):
    image = keras.Input((8,))
    hidden = keras.layers.Dense(8, name="dense")(image)
    old = keras.Model(image, keras.layers.Dropout(0.5)(hidden))
    new = keras.Model(image, layers.Dropout(0.5)(keras.layers.Dense(8)(image)))
    old.save_weights(tmp_path / "old.weights.h5")
    new.load_weights(tmp_path / "old.weights.h5")
    np.testing.assert_array_equal(new.get_weights()[0], old.get_weights()[0])


def test_the_state_of_layers_within_an_encoder_is_saved(tmp_path):
    def build():
        image = keras.Input((8,))
        with compat.stateful_random_layers():
            return EncoderFeatures(image, keras.layers.Dropout(0.5)(image))

    one, other = build(), build()
    ones = np.ones((4, 8), "float32")
    one(ones, training=True)
    one.save_weights(tmp_path / "one.weights.h5")
    other.load_weights(tmp_path / "one.weights.h5")
    np.testing.assert_array_equal(other(ones, training=True), one(ones, training=True))
