"""Callbacks that the configuration names: found before the training, told by name, made again."""

import csv
import importlib.util
import json
import sys
import textwrap
from types import SimpleNamespace

import keras
import pytest
from typer.testing import CliRunner

from keras_unet3p import cli, workflow
from keras_unet3p.artifacts import RunFolder
from keras_unet3p.config import CallbackChoice, TrainingConfig
from keras_unet3p.errors import InputError
from keras_unet3p.training import choose_strategy
from keras_unet3p.workflow.chosen_callbacks import CallbackError, check_callbacks, make_callbacks

_QUICK = {"architecture": "unet", "filters": 2, "depth": 1, "steps_per_epoch": 2, "tuning": False}

MODULE = """
    import keras

    MADE, SEEN = [], []
    NOT_ONE = 7

    class Told(keras.callbacks.Callback):
        def __init__(self, project, step=1):
            super().__init__()
            MADE.append(project)
            if project == "refused":
                raise RuntimeError("no such project")
        def on_epoch_end(self, epoch, logs=None):
            SEEN.append((epoch, sorted(logs)))

    class Failing(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise ConnectionError("the tracker does not answer")

    class Batches(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            SEEN.append(batch)

    def told(project):
        return Told(project)

    def nothing():
        return "nothing"

    class Other:
        pass
"""


@pytest.fixture
def tracking(tmp_path, monkeypatch):
    """A module of the user's own."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "own_tracking.py").write_text(textwrap.dedent(MODULE))
    (folder / "broken_tracking.py").write_text("raise OSError('no home')")
    (folder / "lacking_tracking.py").write_text("import package_that_is_not_there")
    monkeypatch.syspath_prepend(str(folder))
    yield importlib.import_module("own_tracking")
    sys.modules.pop("own_tracking")


def choices(name, **arguments):
    return [CallbackChoice(name=name, arguments=arguments)]


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("CSVLogger", {}, "CSVLogger is no import path; keras.callbacks.CSVLogger is one"),
        ("nowhere.Logger", {}, "nowhere.Logger: no module 'nowhere' is installed"),
        ("keras.callbacks.CVSLogger", {}, "keras.callbacks has no 'CVSLogger'"),
        ("keras.callbacks.CSVLogger", {"file": "a"}, r"its arguments are \(filename"),
        ("keras.callbacks.CSVLogger", {}, "missing a required argument: 'filename'"),
        ("own_tracking.Other", {}, "Other is no keras.callbacks.Callback, but a class of object"),
        ("own_tracking.NOT_ONE", {}, "NOT_ONE is of type int; expected a class of callbacks"),
        ("own_tracking.told", {}, "own_tracking.told: missing a required argument: 'project'"),
        ("broken_tracking.a", {}, "importing broken_tracking failed: OSError: no home"),
        ("lacking_tracking.a", {}, "needs 'package_that_is_not_there', which is not installed"),
    ],
)
def test_what_cannot_be_had_is_told_before_an_image_is_read(
    tracking, tmp_path, name, arguments, problem
):
    config = TrainingConfig(callbacks=choices(name, **arguments))
    with pytest.raises(InputError, match=problem):
        workflow.train(tmp_path / "none", tmp_path / "none", config, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("own_tracking.Told", {"project": "refused"}, "cannot be made: RuntimeError: no such proj"),
        ("own_tracking.nothing", {}, "nothing gives of type str; expected a keras.callbacks.Callb"),
    ],
)
def test_what_cannot_be_made_is_told(tracking, tmp_path, name, arguments, problem):
    check_callbacks(choices(name, **arguments))
    with pytest.raises(InputError, match=problem):
        make_callbacks(choices(name, **arguments), tmp_path)


def test_only_the_chief_has_them(tracking, tmp_path):
    told = choices("own_tracking.told", project="cells")
    for is_chief in (True, False):
        strategy = SimpleNamespace(extended=SimpleNamespace(should_save_summary=is_chief))
        assert len(make_callbacks(told, tmp_path, strategy)) == is_chief
    assert tracking.MADE == ["cells"]
    default = choose_strategy("default")
    assert len(make_callbacks(told, tmp_path, default)) == 1


def test_keras_calls_no_hook_that_a_callback_has_not(tracking, tmp_path):
    (epochs,) = make_callbacks(choices("own_tracking.told", project="cells"), tmp_path)
    (batches,) = make_callbacks(choices("own_tracking.Batches"), tmp_path)
    hooks = {name for name in vars(epochs) if name.startswith("on_")}
    assert hooks == {"on_epoch_end"}
    assert {name for name in vars(batches) if name.startswith("on_")} == {"on_train_batch_end"}


def test_a_run_has_them_and_makes_them_again_when_it_goes_on(
    tracking, cells, small, quiet, tmp_path
):
    out = tmp_path / "run"
    logger = {
        "name": "keras.callbacks.CSVLogger",
        "arguments": {"filename": "{run}/log.csv", "append": True},
    }
    told = {"name": "own_tracking.told", "arguments": {"project": "cells"}}

    def train(epochs, *callbacks):
        config = TrainingConfig(**{**small, **_QUICK, "epochs": epochs, "callbacks": callbacks})
        return workflow.train(cells / "images", cells / "masks", config, out=out, console=quiet)

    # What fails does not take the epoch with it, and the run goes on with others.
    with pytest.raises(CallbackError, match=r"own_tracking\.Failing failed in on_epoch_end: Conne"):
        train(1, "own_tracking.Failing")
    assert len(RunFolder(out).read_history().rows) == 1

    train(2, logger, told)
    train(3, logger, told)
    assert tracking.MADE == ["cells"] * 2
    assert [epoch for epoch, _ in tracking.SEEN] == [1, 2]
    assert {"loss", "val_loss", "learning_rate"} <= set(tracking.SEEN[0][1])
    rows = list(csv.DictReader((out / "log.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    stored = json.loads((out / "config.json").read_text())["training"]["callbacks"]
    assert stored == [logger, told]
    assert RunFolder(out).read_record().training_config().callbacks[0].name == logger["name"]
    assert "keras.callbacks.CSVLogger, own_tracking.told" in (out / "report.html").read_text()


def test_the_command_takes_paths_and_mappings(monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(
        workflow,
        "train",
        lambda images, masks, config, **_: given.append(config) or tmp_path / "best.keras",
    )
    (tmp_path / "image.png").write_bytes(b"not looked at")
    arguments = ["train", "--images", str(tmp_path), "--masks", str(tmp_path), "--no-plan"]
    out = ["--out", str(tmp_path / "run")]
    mapping = "{name: keras.callbacks.CSVLogger, arguments: {filename: log.csv}}"
    told = CliRunner().invoke(
        cli.app, [*arguments, *out, "--callback", "a.b", "--callback", mapping]
    )
    assert told.exit_code == 0, told.output
    assert [item.name for item in given[0].callbacks] == ["a.b", "keras.callbacks.CSVLogger"]
    assert given[0].callbacks[1].arguments == {"filename": "log.csv"}
    CliRunner().invoke(cli.app, [*arguments, *out])
    assert given[1].callbacks == []
    broken = CliRunner().invoke(cli.app, [*arguments, *out, "--callback", "{name: ["])
    assert broken.exit_code != 0


def test_mlflow_keeps_the_run_in_its_files(cells, small, quiet, tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="mlflow (or mlflow-skinny) is not installed")
    pytest.importorskip("pandas", reason="pandas is not installed: MLflow's callback needs it")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    name = "mlflow.keras.MlflowCallback"
    if keras.__version__.startswith("2."):
        name = "mlflow.tensorflow.MlflowCallback"
    import mlflow

    config = TrainingConfig(**{**small, **_QUICK, "epochs": 2, "callbacks": [name]})
    try:
        workflow.train(
            cells / "images", cells / "masks", config, out=tmp_path / "run", console=quiet
        )
        number = mlflow.active_run().info.run_id
    finally:
        mlflow.end_run()
    kept = mlflow.tracking.MlflowClient().get_metric_history(number, "val_loss")
    rows = RunFolder(tmp_path / "run").read_history().rows
    assert [item.value for item in kept] == pytest.approx([row["val_loss"] for row in rows])
