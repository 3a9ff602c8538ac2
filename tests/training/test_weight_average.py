"""The moving average of the weights."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p.training import WeightAverage, saved_averages


def _model(dropout=0.5):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(3, 3),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.Dropout(dropout),  # its state is no weight
            keras.layers.Conv2D(1, 1),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def _data(steps):
    return tf.data.Dataset.range(steps).map(
        lambda step: (
            tf.random.stateless_normal((4, 8, 8, 1), [0, step], mean=3.0),
            tf.random.stateless_normal((4, 6, 6, 1), [1, step]),
        )
    )


class _Record(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.steps, self.tested, self.epochs = [], [], []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(self.model.get_weights())

    def on_test_end(self, logs=None):
        self.tested.append(self.model.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(self.model.get_weights())


def _expected(start, steps, momentum, done=0):
    averages = [value.astype(np.float64) for value in start]
    for number, weights in enumerate(steps, start=done + 1):
        m = min(momentum, number / (number + 9))
        averages = [m * a + (1 - m) * w for a, w in zip(averages, weights, strict=True)]
    return averages


def _assert_close(found, expected):
    for value, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.3, 0.998])
def test_validation_and_epoch_end_see_the_average_that_numpy_computes(momentum):
    model = _model()
    start = model.get_weights()
    average = WeightAverage(model, momentum)
    record = _Record()
    model.fit(
        _data(20).repeat(),
        epochs=2,
        steps_per_epoch=10,
        validation_data=_data(2),
        verbose=0,
        shuffle=False,
        callbacks=[average, record],
    )
    for epoch in (1, 2):
        expected = _expected(start, record.steps[: epoch * 10], momentum)
        _assert_close(record.tested[epoch - 1], expected)
        _assert_close(record.epochs[epoch - 1], expected)
    _assert_close(model.get_weights(), expected)
    # The training went on from its own weights, as it does without an average.
    alone = _model()
    plain = _Record()
    alone.fit(
        _data(20).repeat(),
        epochs=2,
        steps_per_epoch=10,
        verbose=0,
        shuffle=False,
        callbacks=[plain],
    )
    for value, other in zip(record.steps[-1], plain.steps[-1], strict=True):
        np.testing.assert_array_equal(value, other)


def test_a_file_holds_the_weights_and_beside_them_the_averages(tmp_path):
    model = _model()
    average = WeightAverage(model, 0.5)
    first = model.get_weights()
    model.set_weights([value + 1 for value in first])
    average.update(100)
    model.save(tmp_path / "last.keras")
    average.append_to(tmp_path / "last.keras")
    _assert_close(
        keras.models.load_model(tmp_path / "last.keras").get_weights(), model.get_weights()
    )
    other = WeightAverage(_model(), 0.5)
    other.take_from(tmp_path / "last.keras")
    for found, expected in zip(other._averages, average._averages, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
    saved_averages.copy_averaged(tmp_path / "last.keras", tmp_path / "best.keras")
    copied = keras.models.load_model(tmp_path / "best.keras").get_weights()
    _assert_close(copied, [value + 0.5 for value in first])
    assert saved_averages.read(tmp_path / "best.keras") is None


def test_equal_weights_have_exactly_themselves_as_average():
    model = _model()
    model.set_weights([value + 0.1 for value in model.get_weights()])
    average = WeightAverage(model, 0.9)
    before = model.get_weights()
    for step in range(1, 50):
        average.update(step)
    average.show_averages()
    for value, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, other)


MIRRORED = """
import sys
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path.insert(0, sys.argv[1])
import keras
import numpy as np
from keras_unet3p import optimizers, training
from test_weight_average import _Record, _assert_close, _data, _expected, _model

strategy = training.choose_strategy("mirrored")
assert strategy.num_replicas_in_sync == 2
start = []

def build():
    model = _model(dropout=0.0)  # else each replica draws its own
    model.compile(optimizers.AdamW(1e-3), "mse", metrics=["mae"])
    start.extend(model.get_weights())
    return model

def run(folder, epochs, callbacks=()):
    return training.fit(
        build, lambda done: _data(1000).skip(done), lambda model: _data(2), folder, epochs=epochs,
        steps_per_epoch=4, strategy=strategy, monitor="val_mae", callbacks=callbacks,
        learning_rate=training.WarmupCosine(0.01), weight_average=0.6,
    )

def weights(path):
    return keras.models.load_model(path).get_weights()

record = _Record()
run("whole", 2, [record])
_assert_close(record.epochs[-1], _expected(start, record.steps, 0.6))
best = training.Checkpoints("whole", monitor="val_mae").history.best()
_assert_close(weights("whole/best.keras"), record.epochs[int(best["epoch"]) - 1])

class Kill(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt

try:
    run("killed", 2, [Kill()])
except KeyboardInterrupt:
    run("killed", 2)
_assert_close(weights("killed/last-epoch-0002.keras"), weights("whole/last-epoch-0002.keras"))
averages = [
    training.saved_averages.read(f"{name}/last-epoch-0002.keras") for name in ("killed", "whole")
]
for one, other in zip(*averages, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
print("equal")
"""


def test_mirrored_replicas_have_one_average(tmp_path):
    folder = str(Path(__file__).parent)
    result = subprocess.run(
        [sys.executable, "-c", MIRRORED, folder],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        check=False,
    )
    assert result.stdout.endswith("equal\n"), result.stderr[-3000:]
