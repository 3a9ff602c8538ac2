"""What a training is predicted to take, against what trainings took."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_unet3p import compat, data
from keras_unet3p.config import TrainingConfig
from keras_unet3p.images import pictures
from keras_unet3p.planning import Fingerprint, machine, memory, training_memory

TABLE = Path(__file__).parents[2] / "benchmarks" / "memory" / "training.csv"


def _fingerprint(**given) -> Fingerprint:
    known = {
        "images": 12, "channels": 1, "mask_kind": "instances", "num_classes": 1,
        "median_side": 64, "total_pixels": 12 * 64**2, "labeled_share": 1.0,
        "foreground_share": 0.2, "contrast_spread": 1.0, "neighbours_alike": 0.0,
        "objects_per_image": 9.0, "object_radius": 5.0, "touching_share": 0.1,
        "bytes_per_pixel": 2.0,
    }  # fmt: skip
    return Fingerprint(**{**known, **given})


def _config(**given) -> TrainingConfig:
    return TrainingConfig(**{"architecture": "unet", "batch_norm": True, **given})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is kB on Linux only")
@pytest.mark.parametrize(
    "options",
    [
        {"filters": 2, "depth": 1, "patch_size": 32, "batch_size": 1},
        {"filters": 32, "depth": 4, "patch_size": 64, "batch_size": 2},
    ],
)
def test_a_training_takes_what_was_predicted(options, tmp_path):
    for number in range(3):
        image, labels = data.generate_cells(64, seed=number)
        pictures.write_picture(tmp_path / "images" / f"{number}.png", image)
        pictures.write_picture(tmp_path / "masks" / f"{number}.png", labels.astype(np.uint16))
    command = [sys.executable, "-m", "keras_unet3p", "train", "--no-plan", "--batch-norm"]
    command += ["--images", str(tmp_path / "images"), "--masks", str(tmp_path / "masks")]
    command += ["--out", str(tmp_path / "run"), "--epochs", "1", "--steps-per-epoch", "2"]
    command += ["--architecture", "unet", "--mask-kind", "instances"]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    # As peak_mb of the benchmark, but by a process in between: this one, which has TensorFlow
    # loaded already, would count as the child's first peak.
    probe = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
        "_, status, usage = os.wait4(child.pid, 0)\n"
        "print(usage.ru_maxrss)\n"
        "sys.exit(os.waitstatus_to_exitcode(status))\n"
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, "-c", probe, *command],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    measured = int(done.stdout.split()[-1]) * 1024
    predicted = training_memory(_config(**options), _fingerprint(images=3, total_pixels=3 * 64**2))
    assert predicted == pytest.approx(measured, rel=0.25)


@pytest.mark.parametrize("row", list(csv.DictReader(TABLE.open())), ids=lambda row: "-".join(
    row[name] for name in ("keras", "architecture", "filters", "patch_size", "batch_size", "masks")
))  # fmt: skip
def test_the_trainings_that_were_measured(row):
    """So that a change of the networks or of the model of memory is noticed."""
    if row["keras"] != str(3 if compat.KERAS_3 else 2):
        pytest.skip("measured with the other Keras")
    options = {name: int(row[name]) for name in ("filters", "patch_size", "batch_size")}
    if row["architecture"] != "unet3plus":
        options["batch_norm"] = True
    config = TrainingConfig(
        architecture=row["architecture"],
        loss=row["loss"],
        mixed_precision=row["policy"] or None,
        **options,
    )
    pixels = int(row["images"]) * int(row["side"]) ** 2
    found = _fingerprint(mask_kind=row["masks"], total_pixels=pixels, median_side=int(row["side"]))
    assert training_memory(config, found) == pytest.approx(float(row["peak_mb"]) * 1e6, rel=0.25)


def test_what_memory_grows_with():
    least = _config(filters=4, depth=2, patch_size=64, batch_size=1)

    def needed(config=least, **given) -> int:
        return training_memory(config, _fingerprint(**given)) or 0

    for name, value in (("filters", 8), ("depth", 3), ("patch_size", 128), ("batch_size", 2)):
        assert needed(least.model_copy(update={name: value})) > needed()
    assert needed(total_pixels=10**7) - needed() == pytest.approx(2e7, rel=0.01)
    most = needed(total_pixels=10**12)
    assert most == needed(total_pixels=10**13)
    assert most - needed() == pytest.approx(memory.CACHE_BYTES, rel=0.01)
    assert needed(median_side=2048) - needed(median_side=1024) > 5e8
    sixteen = {"mask_kind": "classes", "num_classes": 16}
    assert needed(**sixteen) > needed(mask_kind="binary")


@pytest.mark.parametrize(
    "options",
    [
        {"architecture": "fcn"},
        {"architecture": "unet", "encoder": "mobilenet_v2"},
        {"architecture": "unet", "padding": "valid", "patch_size": 252, "filters": 4},
        {"architecture": "unet", "depth": 5, "filters": 4},
    ],
)
def test_every_kind_of_network_is_counted(options):
    size = memory.NetworkSize.of(TrainingConfig(**options))
    assert size.activations > 10
    assert size.weights > 1000
    assert size.heads == 1


def test_an_encoder_counts_as_it_is_given_or_new():
    given = TrainingConfig(
        architecture="unet", encoder="mobilenet_v2", encoder_weights="no/such/file.h5"
    )
    new = TrainingConfig(architecture="unet", encoder="mobilenet_v2")
    assert memory.NetworkSize.of(given) == memory.NetworkSize.of(new)


def test_a_network_to_begin_with_is_not_known():
    assert training_memory(TrainingConfig(init="a.keras"), _fingerprint()) is None


def test_a_container_has_its_limit(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "_LIMITS", (str(tmp_path / "missing"), str(limit)))
    whole = machine.memory_of_machine()
    if whole is None:
        pytest.skip("this system does not tell its memory")
    limit.write_text("max\n")
    assert machine.memory_of_machine() == whole
    limit.write_text("1000000\n")
    assert machine.memory_of_machine() == 1_000_000
    limit.write_text(f"{2**62}\n")  # version 1 of control groups has a number for no limit
    assert machine.memory_of_machine() == whole
