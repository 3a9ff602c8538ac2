"""`unet3p plan`, and a training that follows a plan."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from keras_unet3p import cli, planning, workflow
from keras_unet3p.artifacts import Plan, RunFolder


@pytest.fixture
def fast(monkeypatch):
    """A machine that is known, so that nothing is measured."""
    machine = planning.Machine(cores=2, gpus=0, filters=16, step_seconds={"float32": 0.5})
    monkeypatch.setattr(planning.Machine, "measured", classmethod(lambda cls, channels=1: machine))
    return machine


def _run(*arguments):
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    return result.exit_code, result.output, result.exception


def test_a_plan_is_shown_and_written(cells, tmp_path, fast):
    out = tmp_path / "plans" / "cells.json"
    folders = ("--images", cells / "images", "--masks", cells / "masks")
    code, output, error = _run("plan", *folders, "--hours", "0.5", "--out", out)
    assert code == 0, error
    plan = Plan.read(out)
    assert plan.config().hours == 0.5
    assert plan == workflow.plan(cells / "images", cells / "masks", hours=0.5)
    for line in plan.lines:
        assert line.name in output


def test_training_without_a_network_follows_a_plan(cells, tmp_path, fast):
    """What is given overrides it, the run keeps it, and continuing does not plan anew."""
    run = RunFolder(tmp_path / "run")
    arguments = ["train", "--images", cells / "images", "--masks", cells / "masks"]
    arguments += ["--out", run.path, "--hours", "0.001", "--patch-size", "32", "--batch-size", "2"]
    arguments += ["--no-tuning"]
    code, output, error = _run(*arguments)
    assert code == 0, (output, error)
    plan = run.read_plan()
    assert plan is not None
    record = run.read_record().training
    assert record["architecture"] == "unet"
    assert record["filters"] == 16
    assert (record["patch_size"], record["batch_size"], record["hours"]) == (32, 2, 0.001)
    assert {line.name: line.reason for line in plan.lines}["patch_size"] == "given"
    page = run.report.read_text()
    assert "steps count for more than width" in page

    def refuse(*args, **kwargs):
        raise AssertionError("a run that goes on has its plan")

    before = run.plan.read_bytes()
    fast_again = pytest.MonkeyPatch()
    with fast_again.context() as patch:
        patch.setattr(workflow.planning, "make_plan", refuse)
        code, output, error = _run(*arguments)
    assert code == 0, (output, error)
    assert run.plan.read_bytes() == before


def test_whoever_names_a_network_or_epochs_has_a_plan(cells, tmp_path, fast):
    folders = {"images": cells / "images", "masks": cells / "masks"}
    for given in ({"epochs": 3}, {"architecture": "unet"}, {"filters": 4}, {"init": "a.keras"}):
        assert workflow.plan_of_run(tmp_path / "run", given, **folders) is None
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="patch_size"):
        workflow.plan_of_run(tmp_path / "run", {"patch_size": 0}, **folders)


def test_no_plan_is_made_for_a_run_that_was_begun_without(cells, run, fast):
    folders = {"images": cells / "images", "masks": cells / "masks"}
    assert workflow.plan_of_run(run, {}, **folders) is None


def test_a_damaged_plan_is_said(cells, tmp_path, fast):
    (tmp_path / "plan.json").write_text("{")
    folders = {"images": cells / "images", "masks": cells / "masks"}
    with pytest.raises(ValueError, match=r"plan.json is damaged"):
        workflow.plan_of_run(tmp_path, {}, **folders)


def test_a_plan_is_json(cells, tmp_path, fast):
    plan = workflow.plan(cells / "images", cells / "masks", out=tmp_path / "plan.json")
    content = json.loads((tmp_path / "plan.json").read_text())
    assert content["format"] == 1
    assert np.isfinite(plan.step_seconds)


def test_a_plan_leaves_folds_to_the_training(cells, fast):
    found = workflow.plan(cells / "images", cells / "masks", folds=2)
    assert found.config().architecture == "unet"
