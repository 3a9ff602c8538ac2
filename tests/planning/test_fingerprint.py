"""What is found in a set of images, and how long a step takes here."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from keras_unet3p import data
from keras_unet3p.planning import Fingerprint, Machine

GOLDEN = Path(__file__).parent / "golden"
DATA = Path(os.environ.get("UNET3P_DATA", Path(__file__).parents[3] / "shared" / "data"))


def test_objects_are_counted_and_measured():
    ids = np.zeros((64, 64), np.uint8)
    ids[4:14, 4:14], ids[4:14, 14:24], ids[40:50, 40:50] = 1, 2, 3
    opened = data.open_images([ids * 50] * 3, [ids] * 3, mask_kind="instances")
    found = Fingerprint.of(opened)
    assert (found.images, found.median_side, found.total_pixels) == (3, 64, 3 * 64 * 64)
    assert found.objects_per_image == 3
    assert found.object_radius == pytest.approx((100 / np.pi) ** 0.5, rel=1e-3)
    assert found.touching_share == pytest.approx(2 / 3, rel=1e-3)
    assert found.foreground_share == pytest.approx(300 / 64**2, rel=1e-3)
    binary = data.open_images([ids * 50] * 3, [(ids > 0) * 1] * 3, mask_kind="binary")
    found = Fingerprint.of(binary)
    assert (found.objects_per_image, found.touching_share) == (2, None)
    classes = data.open_images([ids * 50] * 3, [ids] * 3, mask_kind="classes")
    assert Fingerprint.of(classes).object_radius is None


def test_a_film_is_told_from_a_collection():
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(size=(12, 8, 8)), axis=0)
    film = [np.kron(frame - walk.min(), np.ones((8, 8))).astype(np.uint8) for frame in walk]
    mask = np.eye(64, dtype=np.uint8)
    opened = data.open_images(film, [mask] * 12, mask_kind="binary")
    assert Fingerprint.of(opened).neighbours_alike > 0.1
    images = [np.kron(rng.integers(0, 255, (8, 8)), np.ones((8, 8), int)) for _ in range(12)]
    opened = data.open_images([i.astype(np.uint8) for i in images], [mask] * 12, mask_kind="binary")
    assert Fingerprint.of(opened).neighbours_alike < 0.1


@pytest.mark.parametrize(("name", "folder"), [("isbi2012", "isbi2012")])
def test_real_sets_look_as_they_did(name, folder):
    if not (DATA / folder).is_dir():
        pytest.skip(f"{DATA / folder} is not there (UNET3P_DATA names the folder of the data)")
    opened = data.open_images(DATA / folder / "images", DATA / folder / "labels")
    assert Fingerprint.of(opened) == Fingerprint.read(GOLDEN / f"{name}.fingerprint.json")


def test_a_machine_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_unet3p.planning.machine._TIMED_STEPS", 1)
    machine = Machine.measured()
    assert machine.cores >= 1
    assert 0 < machine.step_seconds["float32"] < 60
    assert machine.seconds_of(2 * machine.filters) > machine.seconds_of(machine.filters)
    machine.write(tmp_path / "machine.json")
    assert Machine.read(tmp_path / "machine.json") == machine


def test_half_precision_is_taken_where_it_saves_a_tenth():
    times = {"float32": 1.0, "mixed_bfloat16": 0.95}
    machine = Machine(cores=2, gpus=0, filters=16, step_seconds=times)
    assert machine.fastest_policy() == "float32"
    times["mixed_bfloat16"] = 0.8
    assert Machine(**{**machine.to_dict(), "step_seconds": times}).fastest_policy() != "float32"
