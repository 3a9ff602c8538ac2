"""The command line: thin, and plain about refused input."""

import inspect
import re
import subprocess
import sys
import warnings

import pytest
from typer.testing import CliRunner

from keras_unet3p import __version__, cli, workflow
from keras_unet3p.workflow.config import ARCHITECTURES, LOSSES


def _options(command: str) -> set[str]:
    (registered,) = [
        c.callback for c in cli.app.registered_commands if c.callback.__name__ == command
    ]
    return set(inspect.signature(registered).parameters)


def test_train_has_an_option_for_every_choice():
    fields = set(workflow.TrainingConfig.__dataclass_fields__)
    assert fields <= _options("train")
    assert [member.value for member in cli.Architecture] == list(ARCHITECTURES)
    assert [member.value for member in cli.Loss] == list(LOSSES)


@pytest.mark.parametrize("name", ["evaluate", "predict", "export", "serve", "quickstart", "train"])
def test_every_command_is_a_function_of_the_workflow(name):
    assert callable(getattr(workflow, name))
    assert _options(name)


@pytest.mark.parametrize("name", ["evaluate", "predict", "train"])
def test_defaults_of_the_limits_are_the_workflow_s(name):
    limits = {"max_pixels", "max_pages"} | ({"accept_values"} if name != "train" else set())
    function = inspect.signature(getattr(workflow, name)).parameters
    (command,) = [c.callback for c in cli.app.registered_commands if c.callback.__name__ == name]
    for limit in limits:
        given = inspect.signature(command).parameters[limit].default
        assert given == function[limit].default


def test_a_warning_is_one_line(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # restored afterwards
    monkeypatch.setattr(cli, "app", lambda: None)
    cli.main()
    assert warnings.formatwarning("a drift", UserWarning, "file.py", 7) == "warning: a drift\n"


def test_version():
    result = CliRunner().invoke(cli.app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout.strip() == __version__


def test_refused_input_is_one_plain_error(tmp_path):
    command = [sys.executable, "-m", "keras_unet3p", "evaluate", str(tmp_path)]
    command += ["--images", str(tmp_path), "--masks", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 2
    assert re.fullmatch(r"error: .* is no run folder .*\n", result.stderr), result.stderr
    assert not result.stdout
