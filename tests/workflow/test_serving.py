"""Serving from the command line: what is refused is one line."""

from __future__ import annotations

import shutil
import socket
import threading

import numpy as np
import pytest

from keras_unet3p import cli, workflow
from keras_unet3p.client import Client

pytest.importorskip("uvicorn")


@pytest.fixture
def taken():
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("option", ["--port", "--grpc-port"])
@pytest.mark.parametrize(
    ("number", "message"),
    [(None, "is in use by another program"), ("99999", "must lie in 0 to 65535, found 99999")],
)
def test_a_port_that_cannot_be_had(tmp_path, monkeypatch, capsys, taken, option, number, message):
    ports = {"--port": "0", "--grpc-port": "0", option: number or str(taken)}
    arguments = [text for pair in ports.items() for text in pair]
    monkeypatch.setattr("sys.argv", ["unet3p", "serve", str(tmp_path), *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]


def test_what_the_command_says_reaches_the_server(tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr(workflow, "serve", lambda *_, **options: given.update(options))
    arguments = ["--allow-host", "a.example", "--allow-host", "b.example", "--trust-model"]
    monkeypatch.setattr("sys.argv", ["unet3p", "serve", str(tmp_path), *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert list(given["allowed_hosts"]) == ["a.example", "b.example"]
    assert given["trust_models"] is True


CONFIG = """
model_config_list {
  config {
    name: "cells"
    base_path: "deep/cells"
    model_platform: "tensorflow"
    model_version_policy { all {} }
    version_labels { key: "stable" value: 1 }
  }
}
"""


def test_a_file_of_models_is_served(tmp_path, model_versions, monkeypatch, capsys):
    for number, version in enumerate(model_versions, 1):
        shutil.copytree(version, tmp_path / "deep" / "cells" / str(number))
    (tmp_path / "models.config").write_text(CONFIG)
    image, answers = np.full((4, 4), 100, np.uint8), {}
    serve = workflow.serve

    def ask_and_stop(*arguments, on_ready, **options):
        stop = threading.Event()

        def ready(server):
            on_ready(server)
            for choice in ({"label": "stable"}, {"version": 2}, {}):
                with Client(server.url, "cells", **choice) as client:
                    answers[str(choice)] = int(client.predict(image).max())
            stop.set()

        serve(*arguments, on_ready=ready, stop=stop, **options)

    monkeypatch.setattr(workflow, "serve", ask_and_stop)
    monkeypatch.chdir(tmp_path)
    arguments = ["--config", "models.config", "--port", "0", "--grpc-port", "0"]
    monkeypatch.setattr("sys.argv", ["unet3p", "serve", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert answers == {"{'label': 'stable'}": 0, "{'version': 2}": 1, "{}": 1}
    assert "/v1/models/cells:predict" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["cells", "--config", "models.config"]])
def test_a_folder_or_a_file_and_not_both(monkeypatch, capsys, arguments):
    monkeypatch.setattr("sys.argv", ["unet3p", "serve", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "either the folder of a served model or a config file" in capsys.readouterr().err
