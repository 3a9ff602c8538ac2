"""Several versions and labels from TensorFlow Serving's own file: read, and read again."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import requests

from keras_unet3p.client import Client, EndpointError
from keras_unet3p.endpoint import LocalServer
from keras_unet3p.endpoint.config_file import read_config_file
from keras_unet3p.endpoint.version_policy import VersionPolicy

KIT = Path(__file__).parents[2] / "serving" / "config" / "models.config"
# Between the thresholds of the two versions: 0 from the first, 1 from the second.
IMAGE = np.full((8, 8), 100, np.uint8)


def entry(name: str = "cells", path: str = "cells", policy: str = "", **labels: int) -> str:
    parts = [f'name: "{name}" base_path: "{path}" model_platform: "tensorflow"']
    if policy:
        parts.append(f"model_version_policy {{ {policy} }}")
    parts += [f'version_labels {{ key: "{key}" value: {n} }}' for key, n in labels.items()]
    return f"config {{ {' '.join(parts)} }}"


def models(*entries: str) -> str:
    return f"model_config_list {{ {' '.join(entries)} }}"


def specific(*versions: int) -> str:
    return f"specific {{ {' '.join(f'versions: {number}' for number in versions)} }}"


@pytest.fixture
def file(tmp_path, model_versions) -> Path:
    """A file of models beside the folder "cells" with the versions 1 and 2."""
    for number, version in enumerate(model_versions, 1):
        shutil.copytree(version, tmp_path / "cells" / str(number))
    return tmp_path / "models.config"


def write(file: Path, text: str) -> None:
    file.with_suffix(".new").write_text(text)
    os.replace(file.with_suffix(".new"), file)


def states(server, name: str = "cells") -> dict[int, str]:
    answer = requests.get(f"{server.url}/v1/models/{name}", timeout=30).json()
    return {int(item["version"]): item["state"] for item in answer["model_version_status"]}


def ask(server, name: str = "cells", **choice) -> int | str:
    """The mask's value over REST and gRPC, or the code of the refusal.

    While a change is taken up the two may differ.
    """
    answers: set[int | str] = set()
    for url in (server.url, f"grpc://{server.grpc_address}"):
        with Client(url, name, retries=0, **choice) as client:
            try:
                answers.add(int(client.predict(IMAGE).max()))
            except EndpointError as error:
                answers.add(error.code)
    return answers.pop() if len(answers) == 1 else "different"


def wait_for(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_kits_file_is_read():
    (model,) = read_config_file(KIT).values()
    assert (model.name, model.folder) == ("cells", Path("/models/cells"))
    assert model.policy == VersionPolicy(0, frozenset({1}))
    assert model.labels == {"stable": 1}


@pytest.mark.parametrize(
    ("policy", "newest", "named"),
    [
        ("", {3}, set()),
        ("latest {}", {3}, set()),
        ("latest { num_versions: 2 }", {3, 2}, set()),
        ("all {}", {3, 2, 1}, set()),
        ("specific { versions: 1 versions: 3 versions: 9 }", set(), {1, 3}),
    ],
)
def test_policies(tmp_path, policy, newest, named):
    file = tmp_path / "models.config"
    file.write_text(models(entry(policy=policy)))
    model = read_config_file(file)["cells"]
    assert model.folder == tmp_path / "cells"
    assert model.policy.choose([2, 1, 3]) == (newest, named)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no model"),
        ("custom_model_config {}", "lists no model"),
        ("model_config_list { config { nom: 'x' } }", '1:30 : .*no field named "nom"'),
        (models(entry(), entry()), "lists the model 'cells' twice"),
        (models(entry(name="")), "the name '' must not be empty"),
        (models(entry(name="a/b")), "the name 'a/b' must not be empty or contain '/'"),
        (models(entry(path="")), "'cells' has no base_path"),
        (models(entry().replace("tensorflow", "onnx")), "has model_platform 'onnx', expected"),
        (models("config { name: 'a' base_path: 'b' }"), "has model_platform '', expected"),
        (b"\xff", "no file of models for TensorFlow Serving: .*utf-8"),
        (None, "no file of models for TensorFlow Serving: No such file"),
    ],
)
def test_what_is_not_accepted_is_said(tmp_path, text, message):
    file = tmp_path / "models.config"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as caught:
        LocalServer(file).start()
    assert str(file) in str(caught.value)


def test_a_roll_out_as_the_kits_readme_has_it(file):
    said: list[str] = []
    write(file, models(entry(policy=specific(1), stable=1)))
    with LocalServer(file, poll_seconds=0.05, on_config=said.append) as server:
        assert server.names == ["cells"]
        # The second version's folder is there, but the file does not name it.
        assert states(server) == {1: "AVAILABLE"}
        assert ask(server, version=2) == "NOT_FOUND"
        assert ask(server, label="canary") == "INVALID_ARGUMENT"

        write(file, models(entry(policy=specific(1, 2), stable=1)))
        wait_for(lambda: states(server) == {1: "AVAILABLE", 2: "AVAILABLE"})
        write(file, models(entry(policy=specific(1, 2), stable=1, canary=2)))
        wait_for(lambda: ask(server, label="canary") == 1)
        assert (ask(server, label="stable"), ask(server)) == (0, 1)
        assert (ask(server, version=1), ask(server, version=2)) == (0, 1)

        for label, answer in ((2, 1), (1, 0), (2, 1)):
            write(file, models(entry(policy=specific(1, 2), stable=label, canary=2)))
            wait_for(lambda answer=answer: ask(server, label="stable") == answer)

        write(file, models(entry(policy=specific(2), stable=2)))
        wait_for(lambda: states(server) == {1: "END", 2: "AVAILABLE"})
        assert ask(server, version=1) == "NOT_FOUND"
        assert ask(server, label="canary") == "INVALID_ARGUMENT"
    assert said[0] == "cells: versions 1, 2; stable is 1"
    assert said[-1] == "cells: versions 2; stable is 2"
    assert len(said) == 6


def test_a_label_moved_to_a_version_that_is_not_loaded_refuses_the_whole_file(file):
    said: list[str] = []
    write(file, models(entry(policy=specific(1), stable=1)))
    with LocalServer(file, poll_seconds=0.05, on_config=said.append) as server:
        # Adding the version and moving the label in one step.
        write(file, models(entry(policy=specific(1, 2), stable=2), entry("more")))
        wait_for(lambda: said)
        time.sleep(0.3)
        (line,) = said
        assert line.startswith("refused as a whole, nothing is changed: ")
        assert "the label 'stable' is moved to version 2, which is not loaded" in line
        assert states(server) == {1: "AVAILABLE"}
        assert ask(server, label="stable") == 0
        assert ask(server, "more") == "NOT_FOUND"
        # A new label may name an absent version; whoever asks for it is told so.
        write(file, models(entry(policy=specific(1), stable=1, later=7)))
        wait_for(lambda: len(said) == 2)
        assert ask(server, label="later") == "NOT_FOUND"


def test_a_file_that_is_broken_changes_nothing(file):
    said: list[str] = []
    write(file, models(entry(stable=2)))
    with LocalServer(file, poll_seconds=0.05, on_config=said.append) as server:
        for text in ("model_config_list {", models(entry("other", "nowhere"))):
            before = len(said)
            write(file, text)
            wait_for(lambda before=before: len(said) > before)
            assert "refused as a whole" in said[-1]
            assert ask(server, label="stable") == 1
        file.unlink()
        wait_for(lambda: "No such file" in said[-1])
        assert ask(server) == 1


def test_labels_keep_no_version_loaded(file, model_versions):
    write(file, models(entry(policy="latest { num_versions: 2 }", stable=1)))
    with LocalServer(file, poll_seconds=0.05) as server:
        assert ask(server, label="stable") == 0
        # A third version that does not load unloads the oldest all the same.
        broken = file.parent / "cells" / "3"
        broken.mkdir()
        wait_for(lambda: states(server) == {1: "END", 2: "AVAILABLE", 3: "END"})
        assert ask(server, label="stable") == "NOT_FOUND"
        assert ask(server) == 1


def test_models_come_and_go(file):
    write(file, models(entry(policy="all {}")))
    with LocalServer(file, poll_seconds=0.05) as server:
        assert states(server) == {1: "AVAILABLE", 2: "AVAILABLE"}
        absolute = str(file.parent / "cells")
        write(file, models(entry("again", absolute, specific(1))))
        wait_for(lambda: server.names == ["again"])
        wait_for(lambda: states(server, "again") == {1: "AVAILABLE"})
        assert ask(server, "again") == 0
        assert ask(server) == "NOT_FOUND"
        health = requests.get(server.url + "/health", timeout=10).json()
        assert health["models"] == {"again": [{"version": "1", "state": "AVAILABLE"}]}
        write(file, models(entry("again", absolute, specific(1)), entry()))
        wait_for(lambda: ask(server) == 1)


def test_a_file_takes_no_further_labels(file):
    for more in ({"labels": {"cells": {"stable": 1}}}, {"num_versions": 2}):
        with pytest.raises(ValueError, match="labels and num_versions go with folders"):
            LocalServer(file, **more)


def test_versions_that_are_not_there(file):
    write(file, models(entry(policy=specific(8))))
    with pytest.raises(ValueError, match="holds none of the versions to serve"):
        LocalServer(file).start()
