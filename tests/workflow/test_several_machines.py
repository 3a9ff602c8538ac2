"""A run that several processes train: who writes it, and what becomes of it when one is killed."""

from __future__ import annotations

import io
import json
import sys
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import runs_of_workers
from several_workers import outputs, run_together, started

from keras_unet3p.artifacts import EvaluationReport, RunFolder
from keras_unet3p.training import saved_averages

OPTIONS = {
    "architecture": "unet",
    "filters": 2,
    "depth": 1,
    "batch_norm": True,
    "patch_size": 32,
    "batch_size": 2,
    "epochs": 3,
    "steps_per_epoch": 3,
    "tuning": False,
    "instances": "gaps",
    "strategy": "multi_worker",
}


def command(cells, out) -> list[str]:
    words = [sys.executable, "-m", "keras_unet3p", "train", "--out", str(out)]
    words += ["--images", str(cells / "images"), "--masks", str(cells / "masks")]
    for name, value in OPTIONS.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", str(value)]
    return words


@pytest.fixture(scope="module")
def killed(cells, tmp_path_factory) -> tuple[Path, int, str]:
    """A run of two processes, one killed: its folder, and status and output of the other."""
    folder = tmp_path_factory.mktemp("killed")
    run = RunFolder(folder / "run")
    with started(command(cells, run.path), folder) as processes:
        deadline = time.monotonic() + 240
        while not run.last(1).exists():
            assert [process.poll() for process in processes] == [None, None], outputs(folder)
            assert time.monotonic() < deadline, outputs(folder)
            time.sleep(0.02)
        processes[1].kill()
        status = processes[0].wait(60)  # before that it must have ended by itself
    return run.path, status, outputs(folder)[0]


@pytest.fixture(scope="module")
def runs(killed, cells, tmp_path_factory) -> dict[str, RunFolder]:
    """The killed run, continued, and one that nobody has killed."""
    folder = tmp_path_factory.mktemp("runs")
    paths = {"continued": killed[0], "whole": folder / "whole"}
    options = json.dumps({str(path): OPTIONS for path in paths.values()})
    words = [sys.executable, runs_of_workers.__file__, str(cells), options]
    run_together(words, folder)
    return {name: RunFolder(path) for name, path in paths.items()}


def test_the_others_end_with_a_message_when_one_is_killed(killed):
    path, status, output = killed
    assert status == 2
    last = output.strip().splitlines()[-1]
    assert last.startswith("error: another process of this training has ended"), output
    assert "The same command on all machines continues the run" in last
    assert not RunFolder(path).last(OPTIONS["epochs"]).exists()


def test_the_same_command_goes_on_bit_for_bit(runs):
    continued, whole = (runs[name].last(OPTIONS["epochs"]) for name in ("continued", "whole"))
    found, expected = stored(continued), stored(whole)
    assert len(expected) > 20  # with the state of the optimizer
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    for one, other in zip(saved_averages.read(continued), saved_averages.read(whole), strict=True):
        np.testing.assert_array_equal(one, other)
    rows, others = (runs[name].read_history().rows for name in ("continued", "whole"))
    assert len(rows) == OPTIONS["epochs"]
    for row, other in zip(rows, others, strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}


def test_the_chief_alone_writes(runs):
    run = runs["whole"]
    # A file of events is named after the process that wrote it: time, host, process, number.
    events = [path.name for path in run.tensorboard.rglob("events.*")]
    writers = {name.rsplit(".", 3)[1] for name in events}
    assert len(writers) == 1 < len(events), events
    report = EvaluationReport.read(run.validation / "metrics.json")
    assert 0 <= report.overall["dice"] <= 1
    folder = run.path.parent
    assert not list((folder / "temporary-1").glob("unet3p-worker-*"))
    assert "epoch 3/3" in outputs(folder)[0]
    assert "epoch" not in outputs(folder)[1]


def stored(path: Path) -> dict[str, np.ndarray]:
    """The arrays in the weights of a `.keras` file."""
    found = {}

    def add(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content) as file:
        file.visititems(add)
    return found
