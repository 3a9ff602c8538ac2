"""Every snippet of the README runs."""

import re
import subprocess
import sys
from configparser import ConfigParser

import numpy as np
import pytest
from snippets import ROOT, run_command, snippets_of

from keras_unet3p import cli, data
from keras_unet3p.images import pictures

README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = snippets_of(README)
PYTHON = [snippet.code for snippet in SNIPPETS if snippet.language == "python"]
SHELL = [line for s in SNIPPETS if s.language == "sh" for line in s.commands()]
UNET3P = [line for line in SHELL if line.startswith("unet3p")]


def _run(command, folder, timeout=300):
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result


def test_only_these_kinds_of_snippets_stand_in_the_readme():
    assert {snippet.language for snippet in SNIPPETS} == {"python", "sh"}
    others = [line for line in SHELL if not line.startswith(("unet3p", "pip install", "curl"))]
    assert others == []


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.splitlines()[0])
def test_python_snippet(code, tmp_path):
    _run([sys.executable, "-c", code], tmp_path)


def test_what_the_readme_installs_exists():
    metadata = ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    extras = set(metadata["options.extras_require"])
    installs = [line for line in SHELL if line.startswith("pip install")]
    assert installs
    for line in installs:
        for extra in re.findall(r"\[([\w,]+)\]", line):
            assert set(extra.split(",")) <= extras, line


def test_the_two_commands_are_there():
    assert 'pip install ".[serving]" && unet3p quickstart' in SHELL
    assert 'pip install ".[test]" && pytest -n auto' in SHELL
    assert "quickstart" in {command.callback.__name__ for command in cli.app.registered_commands}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folders that the README's commands speak of."""
    path = tmp_path_factory.mktemp("readme")
    for number in range(4):
        image, labels = data.generate_cells((64, 64), seed=number)
        pictures.write_picture(path / "images" / f"{number}.png", image)
        pictures.write_picture(path / "masks" / f"{number}.png", labels.astype(np.uint16))
    return path


def test_the_commands_run_one_after_the_other(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for line in UNET3P:
        run_command(line)
    assert {"train", "evaluate", "predict", "export"} <= {line.split()[1] for line in UNET3P}
