"""The fit with schedule, averaged weights and a budget: killed, ended by time, given more."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import optimizers, training
from keras_unet3p.artifacts import History
from keras_unet3p.training import saved_averages

STEPS = 3
PEAK = 0.01


class Killed(Exception):
    pass


class KillAt(keras.callbacks.Callback):
    """Ends the run as a kill would, in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise Killed


class Clock(keras.callbacks.Callback):
    """A clock that goes on in training steps (and validations) only."""

    def __init__(self, step=1.0, validation=0.0):
        super().__init__()
        self.now, self.step, self.validation = 1000.0, step, validation
        self.rates = []

    def __call__(self):
        return self.now

    def on_train_batch_begin(self, batch, logs=None):
        self.now += self.step
        self.rates.append(float(np.asarray(self.model.optimizer.learning_rate)))

    def on_test_end(self, logs=None):
        self.now += self.validation


def _build():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(3),
            keras.layers.BatchNormalization(momentum=0.8),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizers.AdamW(PEAK), "mse", metrics=["mae"])
    return model


def _data(steps_done):
    def batch(step):
        x = tf.random.stateless_normal((4, 2), [0, step])
        return x, tf.reduce_sum(x, -1, keepdims=True)

    return tf.data.Dataset.range(steps_done, 10_000).map(batch)


def _fit(folder, *, clock=None, callbacks=(), build=_build, monitor="val_mae", **options):
    clock = clock or Clock()
    training.fit(
        build,
        _data,
        lambda model: _data(5_000).take(2),
        folder,
        steps_per_epoch=STEPS,
        learning_rate=training.WarmupCosine(PEAK),
        weight_average=0.9,
        monitor=monitor,
        callbacks=[clock, *callbacks],
        clock=clock,
        **options,
    )
    return clock


def _rows(folder):
    return History(folder / "history.csv", "val_mae").rows


def _weights(path):
    return keras.models.load_model(path).get_weights()


def _assert_same(folder, other):
    """Weights, averages, optimizer and history, to the bit."""
    assert _rows(folder) == _rows(other)
    last = sorted(path.name for path in folder.glob("last-epoch-*.keras"))
    assert last == sorted(path.name for path in other.glob("last-epoch-*.keras"))
    pairs = [(_weights(folder / name), _weights(other / name)) for name in ("best.keras", last[-1])]
    pairs.append(tuple(saved_averages.read(place / last[-1]) for place in (folder, other)))
    pairs.append(
        tuple(
            [np.asarray(value) for value in _variables(place / last[-1])]
            for place in (folder, other)
        )
    )
    for one, two in pairs:
        assert len(one) == len(two)
        for value, expected in zip(one, two, strict=True):
            np.testing.assert_array_equal(value, expected)


def _variables(path):
    variables = keras.models.load_model(path).optimizer.variables
    return variables() if callable(variables) else variables


@pytest.mark.parametrize("length", [{"epochs": 4}, {"hours": 11 / 3600}], ids=["epochs", "hours"])
@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_a_killed_run_continues_to_the_same_bits(tmp_path, length, epoch):
    _fit(tmp_path / "whole", **length)
    with pytest.raises(Killed):
        _fit(tmp_path / "killed", callbacks=[KillAt(epoch)], **length)
    _fit(tmp_path / "killed", **length)
    _assert_same(tmp_path / "killed", tmp_path / "whole")


def test_the_best_model_holds_the_averages_also_if_a_kill_left_it_out(tmp_path):
    # The mean error falls, so that the first epoch has the largest.
    _fit(tmp_path, epochs=1)
    averages = saved_averages.read(tmp_path / "last-epoch-0001.keras")
    best = _weights(tmp_path / "best.keras")
    raw = _weights(tmp_path / "last-epoch-0001.keras")
    assert any((one != other).any() for one, other in zip(best, raw, strict=True))
    (tmp_path / "best.keras").unlink()
    training.Checkpoints(tmp_path, monitor="val_mae", report=print).resume()
    for found in (best, _weights(tmp_path / "best.keras")):
        for value, expected in zip(found, averages, strict=True):
            np.testing.assert_array_equal(value, expected)


def test_the_metrics_of_an_epoch_are_those_of_the_averages(tmp_path):
    _fit(tmp_path, epochs=1)
    model = keras.models.load_model(tmp_path / "best.keras")
    found = model.evaluate(_data(5_000).take(2), verbose=0, return_dict=True)
    assert found["mae"] == pytest.approx(_rows(tmp_path)[0]["val_mae"], rel=1e-5)


def test_the_rate_of_a_run_of_epochs_knows_no_clock(tmp_path):
    rates = _fit(tmp_path / "a", epochs=10).rates
    assert _fit(tmp_path / "b", epochs=10, clock=Clock(step=77.0)).rates == rates
    schedule = training.WarmupCosine(PEAK)
    expected = [schedule.rate(step, step / 30, (step + 1) / 30) for step in range(30)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    assert _rows(tmp_path / "a")[-1]["progress"] == 1


def test_a_run_of_hours_ends_in_time_with_the_rate_at_its_end(tmp_path):
    clock = _fit(tmp_path, hours=60 / 3600, clock=Clock(step=1.0, validation=1.0))
    rows = _rows(tmp_path)
    # 4 seconds an epoch.
    assert [row["epoch"] for row in rows] == list(range(1, 16))
    assert sum(row["seconds"] for row in rows) == 60
    assert rows[-1]["progress"] == 1
    assert clock.rates[-1] < 0.01 * PEAK
    assert max(clock.rates) > 0.95 * PEAK
    top = clock.rates.index(max(clock.rates))
    assert clock.rates[top:] == sorted(clock.rates[top:], reverse=True)
    # The same call has nothing to do.
    assert _fit(tmp_path, hours=60 / 3600, build=None).rates == []


def test_a_run_that_gets_slower_is_planned_anew_and_ends_in_time(tmp_path):
    class Slower(Clock):
        def on_epoch_end(self, epoch, logs=None):
            self.step = 1.0 if epoch < 4 else 3.0

    rates = _fit(tmp_path, hours=60 / 3600, clock=Slower()).rates
    assert sum(row["seconds"] for row in _rows(tmp_path)) == pytest.approx(60, abs=9)
    assert rates[-1] < 0.05 * PEAK


def test_a_first_epoch_that_does_not_fit_ends_with_the_time(tmp_path):
    rates = _fit(tmp_path, hours=2 / 3600).rates
    assert rates == pytest.approx([PEAK / 200, PEAK / 2], rel=1e-5)
    assert len(_rows(tmp_path)) == 1
    assert (tmp_path / "best.keras").exists()


@pytest.mark.parametrize(
    ("before", "more"),
    [
        ({"epochs": 20}, {"epochs": 40}),
        ({"hours": 60 / 3600}, {"hours": 120 / 3600}),
        ({"epochs": 20}, {"hours": 120 / 3600}),
    ],
)
def test_a_finished_run_that_is_given_more_warms_up_and_anneals_again(tmp_path, before, more):
    first = _fit(tmp_path, **before)
    kept, best = _rows(tmp_path), _weights(tmp_path / "best.keras")
    second = _fit(tmp_path, **more)
    assert len(first.rates) == len(second.rates) == 60
    np.testing.assert_allclose(second.rates[3:], first.rates[3:], rtol=1e-5)
    rows = _rows(tmp_path)
    assert [row["epoch"] for row in rows] == list(range(1, 41))
    assert [{**row, "hours": 0} for row in rows[:20]] == [{**row, "hours": 0} for row in kept]
    # The error falls: the first epoch has the largest, and stays the best.
    assert History(tmp_path / "history.csv", "val_mae").best()["epoch"] == 1
    for value, expected in zip(_weights(tmp_path / "best.keras"), best, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_a_length_is_needed(tmp_path):
    with pytest.raises(ValueError, match="epochs: expected their number, or hours"):
        _fit(tmp_path)
    assert not list(tmp_path.iterdir())
