"""The deployment kit's Kubernetes objects, as the real kustomize renders them."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

import pytest

SERVING = Path(__file__).parents[1] / "serving"
KUBERNETES = SERVING / "kubernetes"


@functools.cache
def command() -> tuple[str, ...] | None:
    """The command that renders a folder; None where there is neither program.

    kubectl before 1.21 has a kustomize of 2019, which knows half of what the files use.
    """
    if shutil.which("kustomize"):
        return ("kustomize", "build")
    if shutil.which("kubectl"):
        told = subprocess.run(
            ["kubectl", "version", "--client"], capture_output=True, text=True, check=False
        )
        if "Kustomize Version: v5" in told.stdout or "Kustomize Version: v4" in told.stdout:
            return ("kubectl", "kustomize")
    return None


def render(folder: str | Path) -> list[dict]:
    """The objects of a folder of `serving/kubernetes`, or of an absolute path."""
    yaml = pytest.importorskip("yaml", reason="PyYAML reads the manifests")
    if command() is None:
        pytest.skip("neither kustomize nor a kubectl with kustomize 4 or newer renders the folder")
    text = _rendered(str(KUBERNETES / folder))
    return [document for document in yaml.safe_load_all(text) if document]


@functools.cache
def _rendered(folder: str) -> str:
    tool = command()
    assert tool is not None
    ran = subprocess.run([*tool, folder], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    # Deprecated fields are told on the standard error.
    assert not ran.stderr, ran.stderr
    return ran.stdout


def only(documents: list[dict], kind: str) -> dict:
    """The one object of a kind."""
    (document,) = [document for document in documents if document["kind"] == kind]
    return document


def server(documents: list[dict]) -> dict:
    """The container of TensorFlow Serving."""
    (container,) = only(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    return container
