"""The command line: thin, and plain about refused input."""

import errno
import inspect
import io
import re
import subprocess
import sys
import types
import warnings

import pytest
from rich.console import Console
from typer.testing import CliRunner

from keras_unet3p import __version__, cli, data, workflow
from keras_unet3p.client import EndpointError
from keras_unet3p.client.extra import serving_extra
from keras_unet3p.errors import ProblemsError
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


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ([], None),
        (["--classes", "background, nerve"], ["background", "nerve"]),
        (["--classes", "0,1,3"], [0, 1, 3]),
        (["--classes", "3"], 3),
        (["--classes", "0,nerve"], ["0", "nerve"]),
    ],
)
def test_classes_are_names_values_or_a_number(monkeypatch, given, meant):
    asked = {}

    def train(images, masks, **options):
        asked.update(options)

    monkeypatch.setattr(cli, "_workflow", lambda: types.SimpleNamespace(train=train))
    command = ["train", "--images", "a", "--masks", "b", "--out", "c", *given]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 0, result.output
    assert asked["classes"] == meant


def test_an_empty_name_of_a_class_is_refused(monkeypatch):
    monkeypatch.setattr(cli, "_workflow", lambda: types.SimpleNamespace(train=None))
    command = ["train", "--images", "a", "--masks", "b", "--out", "c", "--classes", "a,,b"]
    with pytest.raises(ValueError, match="--classes 'a,,b': an empty name"):
        CliRunner().invoke(cli.app, command, catch_exceptions=False)


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


# What names may hold: rich's markup, its names of pictures, escape sequences, a line of a report.
HOSTILE = "[/x] [red]a[/red] :heart: \x1b[2J\nerror: forged \u202e \udcff"
PRINTED = r"[/x] [red]a[/red] :heart: \x1b[2J\nerror: forged \u202e \udcff"


@pytest.fixture
def printed(monkeypatch):
    """What the commands print, on a terminal of 300 columns."""
    text = io.StringIO()
    console = Console(file=text, width=300, force_terminal=True, color_system=None)
    monkeypatch.setattr(cli, "_console", console)
    return text


def _main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["unet3p", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def test_hostile_names_are_printed_as_they_are_and_change_nothing(printed, monkeypatch, tmp_path):
    report = {
        "columns": ["dice"],
        "images": [{"name": HOSTILE, "dice": 0.5}],
        "overall": {"dice": 0.5},
    }
    out = tmp_path / HOSTILE
    monkeypatch.setattr(workflow, "evaluate", lambda *_, **__: report)
    monkeypatch.setattr(workflow, "predict", lambda *_, **__: [out / "a.png"])
    monkeypatch.setattr(workflow, "export", lambda *_, **__: out / "1")
    monkeypatch.setattr(workflow, "train", lambda *_, **__: out / "best.keras")
    folders = ["--images", HOSTILE, "--masks", HOSTILE]
    for arguments in (
        ["evaluate", HOSTILE, *folders, "--out", str(out)],
        ["predict", HOSTILE, HOSTILE, "--out", str(out)],
        ["export", HOSTILE, "--out", str(out)],
        ["train", *folders, "--out", str(out)],
    ):
        printed.truncate(0)
        assert _main(monkeypatch, *arguments) == 0
        lines = printed.getvalue().splitlines()
        assert any(PRINTED in line for line in lines), arguments
        assert not any(line.startswith("error") or "\x1b" in line for line in lines)
        printed.getvalue().encode()  # no lone surrogate, which a file would not take


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError(f"{HOSTILE}: no image"), f"{PRINTED}: no image"),
        (OSError(errno.ENOSPC, "no space left to write a"), "no space left to write a"),
        (PermissionError(errno.EACCES, "Permission denied", "o[/x]"), "o[/x]: Permission denied"),
        (OSError("port 8501 is in use"), "port 8501 is in use"),
        (EndpointError("UNAVAILABLE", "no answer\nat all"), r"UNAVAILABLE: no answer\nat all"),
        (MemoryError("8.5 GiB"), "not enough memory: 8.5 GiB"),
        (ProblemsError("1 problem", [HOSTILE]), f"1 problem:\n  - {PRINTED}"),
    ],
)
def test_a_refusal_is_told_in_plain_lines(monkeypatch, capsys, error, expected):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(workflow, "predict", refuse)
    assert _main(monkeypatch, "predict", "model", "images", "--out", "out") == 2
    assert capsys.readouterr().err == f"error: {expected}\n"


def test_a_package_that_an_extra_brings_is_named_in_one_line(monkeypatch, capsys):
    def refuse(*_, **__):
        with serving_extra("client.Client"):
            raise ModuleNotFoundError("No module named 'grpc'", name="grpc")

    monkeypatch.setattr(workflow, "predict", refuse)
    assert _main(monkeypatch, "predict", "model", "images", "--out", "out") == 2
    assert re.fullmatch(r"error: .*keras_unet3p\[serving\].*\n", capsys.readouterr().err)


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch):
    def fail(*_, **__):
        raise KeyError("ours")

    monkeypatch.setattr(workflow, "predict", fail)
    monkeypatch.setattr(sys, "argv", ["unet3p", "predict", "model", "images", "--out", "out"])
    with pytest.raises(KeyError):
        cli.main()


def test_problems_of_files_are_a_line_each_whatever_their_names(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "images" / "a\nerror: forged.png").write_bytes(b"")
    (tmp_path / "masks" / "b.png").write_bytes(b"")
    with pytest.raises(ValueError, match="2 problems with the images and masks:") as raised:
        data.open_folder(tmp_path / "images", tmp_path / "masks")
    lines = str(raised.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith("  - ") for line in lines[1:])
