"""A training that diverges ends with an error, and leaves what is finite."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import training
from keras_unet3p.artifacts import History
from keras_unet3p.layers.weight_values import non_finite_weights

STEPS = 3


def _build(learning_rate=0.05):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(learning_rate), "mse", metrics=["mae"])
    return model


def _data(spoilt=(), value=np.nan):
    """Batches by number of the step; those of the steps `spoilt` hold `value`."""

    def batch(step):
        x = tf.random.stateless_normal((4, 2), [0, step])
        y = tf.reduce_sum(x, -1, keepdims=True)
        bad = tf.reduce_any(step == tf.constant([-1, *spoilt], tf.int64))
        return tf.where(bad, tf.constant(value, tf.float32), x), y

    return lambda steps_done: tf.data.Dataset.range(steps_done, 10_000).map(batch)


def _fit(folder, *, spoilt=(), spoilt_validation=(), value=np.nan, build=_build, callbacks=()):
    return training.fit(
        build,
        _data(spoilt, value),
        lambda model: _data(spoilt_validation)(0).take(3),
        folder,
        epochs=4,
        steps_per_epoch=STEPS,
        monitor="val_mae",
        callbacks=callbacks,
    )


def test_a_loss_that_is_not_finite_ends_the_run_and_its_batch_is_saved(tmp_path):
    expected = r"the loss is inf at step 8, epoch 3; .* Try a lower learning rate"
    with pytest.raises(ValueError, match=expected) as raised:
        _fit(tmp_path, spoilt=[7], value=np.inf)
    assert "model of epoch 2, before that, is kept in last-epoch-0002.keras" in str(raised.value)
    with np.load(tmp_path / "not-finite-step-000008.npz") as saved:
        image, mask = next(iter(_data([7], np.inf)(7)))
        np.testing.assert_array_equal(saved["image"], image)
        np.testing.assert_array_equal(saved["mask"], mask)
    # The last finite state is left, and the epoch that failed has left nothing.
    rows = History(tmp_path / "history.csv", "val_mae").rows
    assert [row["epoch"] for row in rows] == [1, 2]
    for name in ("last-epoch-0002.keras", "best.keras"):
        assert non_finite_weights(keras.models.load_model(tmp_path / name)) is None
    assert not (tmp_path / "last-epoch-0003.keras").exists()


def test_a_validation_loss_that_is_not_finite_ends_the_run_and_its_batch_is_saved(tmp_path):
    expected = r"validation loss is nan at batch 2 of the validation, epoch 1;.* No epoch was compl"
    with pytest.raises(ValueError, match=expected):
        _fit(tmp_path, spoilt_validation=[1])
    with np.load(tmp_path / "not-finite-validation-batch-000002.npz") as saved:
        assert np.isnan(saved["image"]).all()
        np.testing.assert_array_equal(saved["mask"], next(iter(_data()(1)))[1])
    assert not list(tmp_path.glob("*.keras"))
    assert not (tmp_path / "history.csv").exists()


def test_weights_that_are_not_finite_end_the_run_though_no_loss_shows_it(tmp_path):
    class Spoil(keras.callbacks.Callback):
        """As an update after the validation would."""

        def on_test_end(self, logs=None):
            self.model.layers[-1].set_weights([np.full((2, 1), np.inf), np.zeros(1)])

    with pytest.raises(ValueError, match=r"weights are not finite \(.*kernel.*, 2 of 2 values\)"):
        _fit(tmp_path, callbacks=[Spoil()])
    assert not list(tmp_path.glob("*.keras"))


def test_a_step_of_several_batches_saves_all_of_them(tmp_path):
    def build():
        model = _build()
        model.compile(keras.optimizers.SGD(0.05), "mse", metrics=["mae"], steps_per_execution=3)
        return model

    with pytest.raises(ValueError, match="the loss is nan at step 1, epoch 1"):
        _fit(tmp_path, spoilt=[1], build=build)
    with np.load(tmp_path / "not-finite-step-000001.npz") as saved:
        spoilt = np.isnan(saved["image"]).all(axis=1)
    assert spoilt.tolist() == [False] * 4 + [True] * 4 + [False] * 4


def test_a_checkpoint_of_nan_is_not_continued(tmp_path):
    model = _build()
    model.set_weights([np.full_like(value, np.nan) for value in model.get_weights()])
    model.save(tmp_path / "last-epoch-0002.keras")
    History(tmp_path / "history.csv", "val_mae").append({"epoch": 2, "val_mae": 1.0})
    with pytest.raises(ValueError, match=r"last-epoch-0002\.keras: weights are not finite"):
        _fit(tmp_path)
