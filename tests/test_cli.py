"""The command line: thin, and plain about refused input."""

import errno
import inspect
import io
import json
import re
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from keras_unet3p import __version__, cli, config, data, workflow
from keras_unet3p.artifacts import EvaluationReport
from keras_unet3p.client import EndpointError
from keras_unet3p.client.golden_check import GoldenDifference
from keras_unet3p.errors import InputError, ProblemsError, needing

SEE = cli._see


@pytest.fixture(autouse=True)
def any_path(monkeypatch):
    """Paths need not be there, where a test does not say so."""
    monkeypatch.setattr(cli, "_see", lambda *_, **__: None)


def _options(command: str) -> set[str]:
    (registered,) = [
        c.callback for c in cli.app.registered_commands if c.callback.__name__ == command
    ]
    return set(inspect.signature(registered).parameters)


def test_train_has_an_option_for_every_choice():
    fields = set(config.TrainingConfig.model_fields)
    assert fields <= _options("train")
    data_options = set(config.DataChoices.model_fields) - {"class_values"}  # --classes tells them
    assert data_options - {"reading"} <= _options("train")


@pytest.mark.parametrize("name", ["train", "check", "plan", "predict", "evaluate", "compare"])
def test_what_is_read_of_a_file_is_chosen_alike_everywhere(name):
    assert set(config.ReadingChoices.model_fields) <= _options(name)


@pytest.mark.parametrize(
    "name",
    ["convert", "evaluate", "predict", "export", "serve", "quickstart", "train", "plan"],
)
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

    def train(images, masks, config, **options):
        asked.update(options)
        return "best.keras"

    monkeypatch.setattr(cli, "_workflow", lambda: types.SimpleNamespace(train=train))
    command = ["train", "--no-plan", "--images", "a", "--masks", "b", "--out", "c", *given]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 0, result.output
    assert asked["classes"] == meant


def test_an_empty_name_of_a_class_is_refused(monkeypatch):
    monkeypatch.setattr(cli, "_workflow", lambda: types.SimpleNamespace(train=None))
    command = [
        "train",
        "--no-plan",
        "--images",
        "a",
        "--masks",
        "b",
        "--out",
        "c",
        "--classes",
        "a,,b",
    ]
    with pytest.raises(ValueError, match="--classes 'a,,b': an empty name"):
        CliRunner().invoke(cli.app, command, catch_exceptions=False)


@pytest.mark.parametrize(
    ("given", "meant"),
    [([], "auto"), (["--ignore", "none"], None), (["--ignore", "255"], 255)],
)
def test_evaluate_ignores_a_value_none_or_that_of_the_training(monkeypatch, given, meant):
    asked = {}

    def evaluate(model, images, masks, **options):
        asked.update(options)
        raise InputError("enough")

    monkeypatch.setattr(cli, "_workflow", lambda: types.SimpleNamespace(evaluate=evaluate))
    command = ["evaluate", "run", "--images", "a", "--masks", "b", *given]
    assert isinstance(CliRunner().invoke(cli.app, command).exception, InputError)
    assert asked["ignore"] == meant


def test_an_ignored_value_that_is_none_is_refused(monkeypatch):
    monkeypatch.setattr(cli, "_workflow", lambda: types.SimpleNamespace(evaluate=None))
    command = ["evaluate", "run", "--images", "a", "--masks", "b", "--ignore", "x"]
    with pytest.raises(ValueError, match="--ignore 'x'; expected a mask value, none or auto"):
        CliRunner().invoke(cli.app, command, catch_exceptions=False)


@pytest.mark.parametrize(
    ("given", "called", "options"),
    [
        (
            ["--test-time-augmentation", "8"],
            "export",
            {"version": None, "test_time_augmentation": 8, "progress": True},
        ),
        (
            ["--format", "bioimageio", "--author", "A", "--author", "B", "--license", "MIT"],
            "export_bioimageio",
            {"name": None, "authors": ["A", "B"], "license": "MIT"},
        ),
    ],
)
def test_export_writes_the_format_that_is_named(monkeypatch, tmp_path, given, called, options):
    calls = []

    def export(run, out, **found):
        calls.append(found)
        return out

    monkeypatch.setattr(cli, "_workflow", lambda: types.SimpleNamespace(**{called: export}))
    command = ["export", "run", "--out", str(tmp_path / "m.zip"), *given]
    assert CliRunner().invoke(cli.app, command, catch_exceptions=False).exit_code == 0
    assert calls == [{"tile_size": 512, "members": None, **options}]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["--format", "onnx"], "'onnx'; expected savedmodel or bioimageio"),
        (["--format", "bioimageio", "--version", "2"], "--version: a package has none"),
        (
            ["--format", "bioimageio", "--test-time-augmentation", "8"],
            "--test-time-augmentation: a package has none",
        ),
        (["--author", "A"], "they are for --format bioimageio"),
    ],
)
def test_options_of_export_that_do_not_fit_are_refused(monkeypatch, given, problem):
    monkeypatch.setattr(cli, "_workflow", types.SimpleNamespace)
    with pytest.raises(InputError, match=problem):
        CliRunner().invoke(cli.app, ["export", "run", "--out", "m", *given], catch_exceptions=False)


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
    report = EvaluationReport(
        mask_kind="binary",
        columns=["dice"],
        images=[{"name": HOSTILE, "dice": 0.5}],
        overall={"dice": 0.5},
    )
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
        ["train", "--no-plan", *folders, "--out", str(out)],
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
        (InputError(f"{HOSTILE}: no image"), f"{PRINTED}: no image"),
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
        with needing("serving", "client.Client"):
            raise ModuleNotFoundError("No module named 'grpc'", name="grpc")

    monkeypatch.setattr(workflow, "predict", refuse)
    assert _main(monkeypatch, "predict", "model", "images", "--out", "out") == 2
    assert re.fullmatch(r"error: .*keras_unet3p\[serving\].*\n", capsys.readouterr().err)


@pytest.mark.parametrize("error", [KeyError("ours"), ValueError("of a library")])
def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(workflow, "predict", fail)
    monkeypatch.setattr(sys, "argv", ["unet3p", "predict", "model", "images", "--out", "out"])
    with pytest.raises(type(error)):
        cli.main()


def test_debug_shows_the_traceback_of_a_refusal(monkeypatch):
    def refuse(*_, **__):
        raise InputError("a.png: no image")

    monkeypatch.setattr(workflow, "predict", refuse)
    command = ["predict", "model", "images", "--out", "out"]
    monkeypatch.setattr(sys, "argv", ["unet3p", "--debug", *command])
    with pytest.raises(InputError):
        cli.main()
    assert _main(monkeypatch, *command) == 2


@pytest.fixture
def trained(monkeypatch):
    """What the command `train` asks the workflow for."""
    asked = {}

    def train(images, masks, config, **options):
        asked.update(options, images=images, masks=masks, config=config)
        return "best.keras"

    monkeypatch.setattr(cli, "_workflow", lambda: types.SimpleNamespace(train=train))
    return asked


def test_the_command_line_overrides_the_file(trained, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(
        "data: {images: a, masks: b, class_values: [0, 128]}\n"
        "training: {filters: 8, depth: 2, border_weights: no}\n"
    )
    command = ["train", "--config", str(file), "--out", "c", "--masks", "m", "--depth", "3"]
    result = CliRunner().invoke(cli.app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert (trained["images"], str(trained["masks"])) == ("a", "m")
    assert trained["classes"] == [0, 128]
    expected = config.TrainingConfig(filters=8, depth=3, border_weights=False)
    assert trained["config"] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategy", "mirored"], "strategy must be one of"),
        (["--depth", "0"], "depth must be at least 1, found 0"),
        (["--architecture", "fcn", "--depth", "3"], "depth: architecture 'fcn' has no such"),
        (["--border-weights", "maybe"], "border_weights must be one of"),
        ([], None),
        (["--border-weights", "no", "--no-augment"], None),
    ],
)
def test_choices_are_checked_before_tensorflow_is_imported(trained, arguments, message):
    command = ["train", "--no-plan", "--images", "a", "--masks", "b", "--out", "c", *arguments]
    if message is None:
        assert CliRunner().invoke(cli.app, command).exit_code == 0
        assert trained["config"].augment == (not arguments)
        assert trained["config"].border_weights == (False if arguments else "auto")
    else:
        with pytest.raises(InputError, match=f"^{message}"):
            CliRunner().invoke(cli.app, command, catch_exceptions=False)
        assert not trained


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("check --images {there} --masks nowhere", "masks: there is no folder or file nowhere"),
        ("plan --images nowhere --masks {there}", "images: there is no folder or file nowhere"),
        ("train --out o --images nowhere --masks {there}", "images: there is no folder or file"),
        ("evaluate {there} --images {there} --masks {there}", ".* is no run folder"),
        ("evaluate nuclei --images {there} --masks nowhere", "masks: there is no folder"),
        ("predict nuclei nowhere --out o", "images: there is no folder or file nowhere"),
        ("predict {there} {there} --out o", ".* is no run folder"),
        ("export {there} --out o", ".* is no run folder"),
        ("compare nuclei nowhere --images {there}", "nowhere is no run folder"),
    ],
)
def test_what_is_not_there_is_refused_before_tensorflow_is_imported(
    monkeypatch, tmp_path, command, message
):
    monkeypatch.setattr(cli, "_see", SEE)
    monkeypatch.setattr(cli, "_workflow", lambda: pytest.fail("TensorFlow was imported"))
    np.save(tmp_path / "a.npy", np.zeros((8, 8)))
    with pytest.raises(InputError, match=f"^{message}"):
        CliRunner().invoke(cli.app, command.format(there=tmp_path).split(), catch_exceptions=False)


def test_every_command_s_help_has_an_example_and_belongs_to_a_task():
    for command in cli.app.registered_commands:
        assert command.rich_help_panel in {cli._LEARN, cli._USE, cli._SERVE}
        words = command.epilog.split()
        assert words[:2] == ["Example:", "unet3p"]
        parser = typer.main.get_command(cli.app).commands[words[2]]
        assert parser.make_context(words[2], words[3:]).params


def _printed_json(monkeypatch, *arguments, **functions):
    monkeypatch.setattr(cli, "_workflow", lambda: types.SimpleNamespace(**functions))
    result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    return result.exit_code, json.loads(result.stdout)


def test_scripts_get_json(monkeypatch):
    need = workflow.Need(256, 0.5, 0.1, 300.0)
    measured = workflow.Capacity([need], 200.0, 1.0, None)
    command = ["capacity", "m", "--pixels", "65536", "--at-once", "1", "--json"]
    code, found = _printed_json(
        monkeypatch, *command, capacity=lambda *_, **__: measured, SIDES=(256,)
    )
    assert (code, found["needs"], found["idle_mb"]) == (0, [need._asdict()], 200.0)
    assert found["estimate"]["seconds"] == measured.seconds(65536)

    differs = GoldenDifference("classes", 0.5, None, None)
    code, found = _printed_json(monkeypatch, "verify", "m", "--json", verify=lambda *_: [differs])
    assert (code, found[0]["signature"], found[0]["pixels"]) == (1, "classes", 0.5)

    rows = [workflow.Disagreement("a", 0.25, None, None, None)]
    compare = ["compare", "m", "n", "--images", "i", "--json", "--fail-above", "0.2"]
    code, found = _printed_json(monkeypatch, *compare, compare=lambda *_, **__: rows)
    assert (code, found["pixels"], found["images"][0]["name"]) == (1, 0.25, "a")

    report = EvaluationReport(
        mask_kind="binary", columns=["dice"], images=[{"name": "a", "dice": 0.5}], overall={}
    )
    evaluate = ["evaluate", "m", "--images", "i", "--masks", "j", "--json"]
    code, found = _printed_json(monkeypatch, *evaluate, evaluate=lambda *_, **__: report)
    assert (code, found["images"]) == (0, report.images)


def test_problems_of_files_are_a_line_each_whatever_their_names(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "images" / "a\nerror: forged.png").write_bytes(b"")
    (tmp_path / "masks" / "b.png").write_bytes(b"")
    with pytest.raises(ValueError, match="2 problems with the images and masks:") as raised:
        data.open_images(tmp_path / "images", tmp_path / "masks")
    lines = str(raised.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith("  - ") for line in lines[1:])
