"""Every snippet of the README and of the pages in docs/ runs."""

import re
import shlex
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from keras_unet3p import cli, data
from keras_unet3p.images import pictures

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SNIPPETS = [
    snippet
    for page in PAGES
    for snippet in re.findall(
        r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S
    )
]
PYTHON = [code for language, code in SNIPPETS if language == "python"]
SHELL = [
    line
    for language, code in SNIPPETS
    if language == "sh"
    for line in code.replace("\\\n", " ").splitlines()
    if line and not line.startswith("#")
]
UNET3P = [line for line in SHELL if line.startswith("unet3p")]
# A command that a page shows is run as it stands but for these: seconds instead of hours.
SHORTENED = {
    "train": "--filters 2 --depth 2 --patch-size 32 --batch-size 2 --hours 0.0005",
    "train --init": "--patch-size 32 --batch-size 2 --epochs 1 --steps-per-epoch 1",
    "export": "--tile-size 64",
}


def _run(command, folder, timeout=300):
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result


def test_only_these_kinds_of_snippets_stand_in_the_readme():
    assert {language for language, _ in SNIPPETS} == {"python", "sh"}
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
    ran = []
    for line in UNET3P:
        arguments = shlex.split(line, comments=True)[1:]
        if arguments[0] in ("quickstart", "serve"):
            continue  # the quick start has a test of its own; serving is tested with the next one
        command = " ".join(arguments[: 2 if "--init" in arguments else 1])
        arguments += shlex.split(SHORTENED.get(command, ""))
        result = CliRunner().invoke(cli.app, arguments)
        assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
        ran.append(arguments[0])
    assert {"train", "evaluate", "predict", "export"} <= set(ran)
