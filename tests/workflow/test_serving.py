"""Serving from the command line: what is refused is one line."""

from __future__ import annotations

import socket

import pytest

from keras_unet3p import cli, workflow

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
    monkeypatch.setattr(workflow, "serve", lambda model, **options: given.update(options))
    arguments = ["--allow-host", "a.example", "--allow-host", "b.example", "--trust-model"]
    monkeypatch.setattr("sys.argv", ["unet3p", "serve", str(tmp_path), *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert list(given["allowed_hosts"]) == ["a.example", "b.example"]
    assert given["trust_models"] is True
