"""The resumable fit."""

import errno
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import training
from keras_unet3p.artifacts import History

STEPS = 3


class Killed(Exception):
    pass


class KillAt(keras.callbacks.Callback):
    """Ends the run as a kill would, in the middle of an epoch."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at = (epoch, batch)
        self.epoch = -1

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise Killed


def _build():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    # Momentum: a resumed run that lost the optimizer's state would take another path.
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse", metrics=["mae"])
    return model


def _data(steps_done):
    def batch(step):
        x = tf.random.stateless_normal((4, 2), [0, step])
        return x, tf.reduce_sum(x, -1, keepdims=True)

    return tf.data.Dataset.range(steps_done, 10_000).map(batch)


def _fit(folder, *, epochs=4, callbacks=(), build=_build, **options):
    return training.fit(
        build,
        _data,
        lambda model: _data(5_000).take(2),
        folder,
        epochs=epochs,
        steps_per_epoch=STEPS,
        monitor=options.pop("monitor", "val_mae"),
        callbacks=callbacks,
        **options,
    )


def _last_weights(folder, epoch):
    model = keras.models.load_model(folder / f"last-epoch-{epoch:04d}.keras")
    return np.concatenate([np.ravel(value) for value in model.get_weights()])


@pytest.mark.parametrize(
    ("kill_at", "cut_off"), [((0, 1), None), ((2, 0), None), ((3, 2), "last-epoch-0003.keras")]
)
def test_a_killed_run_continues_to_the_same_weights(tmp_path, kill_at, cut_off):
    _fit(tmp_path / "whole")
    with pytest.raises(Killed):
        _fit(tmp_path / "killed", callbacks=[KillAt(*kill_at)])
    said = []
    if cut_off:
        damaged = tmp_path / "killed" / cut_off
        damaged.write_bytes(damaged.read_bytes()[:-100])
    _fit(tmp_path / "killed", report=said.append)
    assert [cut_off in line for line in said] == [True] * (cut_off is not None)
    np.testing.assert_allclose(
        _last_weights(tmp_path / "killed", 4), _last_weights(tmp_path / "whole", 4), rtol=1e-6
    )
    columns = ("epoch", "loss", "val_mae")
    rows = {
        name: [
            [row[c] for c in columns] for row in History(tmp_path / name / "history.csv", "").rows
        ]
        for name in ("whole", "killed")
    }
    np.testing.assert_allclose(rows["killed"], rows["whole"], rtol=1e-5)


def test_a_finished_run_is_not_trained_again(tmp_path):
    best = _fit(tmp_path, epochs=2)

    def build():
        raise AssertionError("built again")

    assert _fit(tmp_path, epochs=2, build=build) == best


def test_only_the_last_two_and_the_best_model_are_kept(tmp_path):
    _fit(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.keras")) == [
        "best.keras",
        "last-epoch-0003.keras",
        "last-epoch-0004.keras",
    ]


def test_the_best_epoch_is_the_one_with_the_largest_metric(tmp_path):
    kept = {}

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            kept[epoch + 1] = self.model.get_weights()[0].copy()

    best = _fit(tmp_path, callbacks=[Keep()])  # the largest error: the first epoch
    epoch = History(tmp_path / "history.csv", "val_mae").best()["epoch"]
    found = keras.models.load_model(best).get_weights()[0]
    np.testing.assert_array_equal(found, kept[int(epoch)])


@pytest.mark.parametrize("lost", ["model", "best"])
def test_files_that_a_kill_left_out_of_step_are_brought_into_step(tmp_path, lost):
    _fit(tmp_path, epochs=2)
    history = History(tmp_path / "history.csv", "val_mae")
    if lost == "model":  # killed after the row and before the model
        history.append({"epoch": 3, "val_mae": 1e9})
    else:  # killed after the last model and before the best one
        history.rows[-1]["val_mae"] = 1e9
        history._write()
        shutil.copy(tmp_path / "last-epoch-0001.keras", tmp_path / "best.keras")
    checkpoints = training.Checkpoints(tmp_path, monitor="val_mae")
    epoch, last = checkpoints.resume()
    assert epoch == 2
    assert [row["epoch"] for row in checkpoints.history.rows] == [1, 2]
    if lost == "best":
        assert checkpoints.run.best.read_bytes() == last.read_bytes()


HOLD = """
import sys
from pathlib import Path
from keras_unet3p import files
with files.locked(Path(sys.argv[1]) / ".lock", "the folder"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_in_which_another_process_trains_is_refused_and_left_as_it_is(tmp_path):
    _fit(tmp_path, epochs=1)
    (tmp_path / ".unfinished-x").mkdir()  # the other one is writing
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        expected = rf"run folder \S+ is in use by process {holder.pid} on \S+"
        with pytest.raises(ValueError, match=expected):
            _fit(tmp_path)
        found = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        del found[tmp_path / ".lock"]
        assert found == before
        holder.kill()
    _fit(tmp_path, epochs=2)  # the lock is gone with its holder
    assert not (tmp_path / ".unfinished-x").exists()
    assert not (tmp_path / ".lock").exists()


def test_a_full_disk_is_named_and_the_same_call_continues_where_there_is_space(small_disk):
    disk, resize = small_disk
    for kib, name in ((8, "tensorboard"), (32, r"last-epoch-0001\.keras")):
        resize(kib)
        expected = rf"^\[Errno 28\] no space left to write \S+{name}: [0-9.]+ MiB are free there$"
        with pytest.raises(OSError, match=expected):
            _fit(disk / "run", epochs=1)
        assert not list(disk.rglob("*.keras"))
    resize(1000)
    assert _fit(disk / "run", epochs=1).exists()
    assert [row["epoch"] for row in History(disk / "run" / "history.csv", "").rows] == [1]


def test_what_a_run_continues_from_is_on_the_disk_before_it_replaces_anything(
    tmp_path, monkeypatch
):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"no space left to write \S+history\.csv: "):
        _fit(tmp_path, epochs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["tensorboard"]


def test_patience_stops_a_run_and_the_same_call_leaves_it_stopped(tmp_path):
    for _ in range(2):
        _fit(tmp_path, epochs=50, patience=2)  # the error falls: the first epoch stays the best
        rows = History(tmp_path / "history.csv", "val_mae").rows
        assert len(rows) < 50
        assert rows[-1]["epoch"] - History(tmp_path / "history.csv", "val_mae").best()["epoch"] == 2
