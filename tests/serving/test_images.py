"""The Dockerfile, as far as it can be checked without building images."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from kustomized import SERVING, render

yaml = pytest.importorskip("yaml", reason="PyYAML reads the manifests")

DOCKERFILE = (SERVING / "Dockerfile").read_text()
STAGES = dict(re.findall(r"^FROM (\S+) AS (\w+)$", DOCKERFILE, re.MULTILINE))
VARIABLES = dict(re.findall(r"^ENV (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))


def test_compose_builds_the_stage_on_the_release_that_it_names():
    assert set(STAGES.values()) == {"serving", "tools"}
    compose = yaml.safe_load((SERVING / "compose.yaml").read_text())
    for name in ("serving", "serving-gpu"):
        service = compose["services"][name]
        build = service["build"]
        assert (SERVING / build["context"] / build["dockerfile"]).resolve() == (
            SERVING / "Dockerfile"
        )
        assert build["target"] in STAGES.values()
        (release,) = build["args"].values()
        assert service["image"] == f"unet3p-serving:{release}"
        assert release.endswith("-gpu") == (name == "serving-gpu")
        assert set(build["args"]) == set(re.findall(r"^ARG (\w+)=", DOCKERFILE, re.MULTILINE))
    default = re.findall(r"^ARG TF_SERVING_VERSION=(\S+)$", DOCKERFILE, re.MULTILINE)
    (fixed,) = {
        image["newTag"]
        for image in yaml.safe_load(
            (SERVING / "kubernetes/overlays/cpu/kustomization.yaml").read_text()
        )["images"]
    }
    assert default == [fixed]
    assert f":-{fixed}}}" in service["image"]


def test_copied_files_are_there():
    for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE):
        for name in line.split():
            assert (SERVING.parent / name).exists(), name


def test_the_job_has_the_tools_of_this_release():
    import keras_unet3p

    (image,) = [
        container["image"]
        for document in render("fetch")
        if document["kind"] == "Job"
        for container in document["spec"]["template"]["spec"]["initContainers"]
        if container["command"] == ["unet3p"]
    ]
    assert image.split(":")[1] == keras_unet3p.__version__
    assert f"-t {image} ." in DOCKERFILE


def test_jemalloc_takes_its_settings():
    name = Path(VARIABLES["LD_PRELOAD"]).name
    found = [*Path("/usr/lib").glob(f"*-linux-gnu/{name}")]
    if not found:
        pytest.skip("jemalloc (Debian: libjemalloc2) is not installed")

    def ends_well(settings: str) -> bool:
        variables = {"LD_PRELOAD": str(found[0]), "MALLOC_CONF": f"abort_conf:true,{settings}"}
        ran = subprocess.run(["true"], env=os.environ | variables, capture_output=True, check=False)
        return ran.returncode == 0

    assert ends_well(VARIABLES["MALLOC_CONF"])
    assert not ends_well("no_such_setting:true")
