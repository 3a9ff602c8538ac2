"""The job's own commands, run on this machine one after the other as Kubernetes would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from kustomized import only, render

from keras_unet3p.artifacts.golden_pairs import GOLDEN_FILE


@pytest.fixture(scope="module")
def job() -> list[dict]:
    return render("fetch")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """Three versions: 1 and 2 are right, 3 has the golden pairs of another model."""
    from keras_unet3p import export, models

    folder = tmp_path_factory.mktemp("bucket")
    for _ in range(3):
        network = models.unet(
            (None, None, 1), num_classes=1, filters=4, depth=2, classifier_activation="sigmoid"
        )
        export.export_savedmodel(network, folder / "models/cells", tile_size=64, golden_pairs=True)
    versions = folder / "models/cells"
    shutil.copy(versions / "1" / GOLDEN_FILE, versions / "3" / GOLDEN_FILE)
    return folder


@pytest.fixture
def run_job(job, bucket, tmp_path):
    """Runs the job for a version, with a folder as store and volume; returns its last exit code."""
    if not shutil.which("rclone"):
        pytest.skip("rclone fetches the models")
    volume = tmp_path / "volume"
    volume.mkdir()
    pod = only(job, "Job")["spec"]["template"]["spec"]
    settings = only(job, "ConfigMap")["data"]

    def run(version: int) -> int:
        variables = settings | {
            "VERSION": str(version),
            "SOURCE": "store:models",
            "RCLONE_CONFIG_STORE_TYPE": "alias",
            "RCLONE_CONFIG_STORE_REMOTE": str(bucket),
        }
        for container in [*pod["initContainers"], *pod["containers"]]:
            words = [*container["command"], *container["args"]]
            words = [word.replace("/models/", f"{volume}/") for word in words]
            words = [re.sub(r"\$\((\w+)\)", lambda m: variables[m[1]], word) for word in words]
            if words[0] == "unet3p":
                words[:1] = [sys.executable, "-m", "keras_unet3p"]
            code = subprocess.run(words, env=os.environ | variables, check=False).returncode
            if code:
                return code
        return 0

    return run, volume


def files_of(folder) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_a_right_version_arrives_whole(run_job, bucket):
    run, volume = run_job
    for version in (1, 2):
        assert run(version) == 0
        assert files_of(volume / f"cells/{version}") == files_of(bucket / f"models/cells/{version}")
    assert {folder.name for folder in (volume / "cells").iterdir()} == {"1", "2"}
    assert not files_of(volume / ".incoming")


def test_a_version_that_answers_otherwise_is_not_published(run_job):
    run, volume = run_job
    assert run(3) != 0
    assert not (volume / "cells").exists()


def test_a_version_that_is_not_in_the_store(run_job):
    run, volume = run_job
    assert run(4) != 0
    assert not (volume / "cells").exists()


def test_a_version_is_never_replaced(run_job, bucket):
    run, volume = run_job
    kept = volume / "cells/2"
    kept.mkdir(parents=True)
    (kept / "saved_model.pb").write_bytes(b"in use")
    assert run(2) != 0
    assert files_of(kept) == {"saved_model.pb": b"in use"}


def test_what_a_stopped_try_left_is_cleared_away(run_job, bucket):
    run, volume = run_job
    left = volume / ".incoming/cells/1"
    left.mkdir(parents=True)
    (left / "half.partial").write_bytes(b"half")
    (left / "saved_model.pb").write_bytes(b"half")
    assert run(1) == 0
    assert files_of(volume / "cells/1") == files_of(bucket / "models/cells/1")


def test_its_rights_and_its_volume(job):
    pod = only(job, "Job")["spec"]["template"]["spec"]
    (claim,) = [v["persistentVolumeClaim"] for v in pod["volumes"] if "emptyDir" not in v]
    assert claim["claimName"] == only(render("models"), "PersistentVolumeClaim")["metadata"]["name"]
    server = only(render("overlays/cpu"), "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["fsGroup"] == server["securityContext"]["runAsGroup"]
    assert pod["securityContext"]["runAsNonRoot"]
    settings = only(job, "ConfigMap")["metadata"]["name"]
    for container in [*pod["initContainers"], *pod["containers"]]:
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])
        references = [source["configMapRef"] for source in container["envFrom"][:1]]
        assert references == [{"name": settings}]
    # Only the step that fetches knows the keys.
    knowing = [c["name"] for c in pod["initContainers"] if "secretRef" in str(c["envFrom"])]
    assert knowing == ["fetch"]
