from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "serving" / "load_test.py"


@pytest.fixture(scope="module")
def server(tmp_path_factory, write_model):
    from keras_unet3p.endpoint import LocalServer

    base = tmp_path_factory.mktemp("models") / "cells"
    write_model(base / "1")
    with LocalServer({"cells": base}) as server:
        yield server


def run(*arguments: str) -> subprocess.CompletedProcess:
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], "
        "run_name='__main__')"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=SCRIPT.parents[1],
    )


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_it_counts_right_answers(server, scheme):
    url = server.url if scheme == "http" else f"grpc://{server.grpc_address}"
    done = run(url, "--model", "cells", "--clients", "4", "--seconds", "1", "--size", "64")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["right"] > 0
    assert (result["wrong"], result["failed"], result["refused"]) == (0, 0, 0)
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["max"]


def test_it_says_when_nothing_answers(server):
    done = run(server.url, "--model", "nix", "--seconds", "1")
    assert done.returncode == 1
    assert "NOT_FOUND" in done.stderr
