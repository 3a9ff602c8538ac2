"""What an exported model needs: each size in a process of its own."""

from __future__ import annotations

import subprocess

import pytest
from typer.testing import CliRunner

from keras_unet3p import cli, workflow
from keras_unet3p.artifacts import ModelCard
from keras_unet3p.artifacts.model_card import CARD_FILE
from keras_unet3p.workflow import Capacity, Need


def test_sizes_are_measured_up_to_the_limit(exported, tmp_path):
    model = tmp_path / "cells" / "1"
    model.parent.mkdir()
    subprocess.run(["cp", "-r", str(exported), str(model)], check=True)
    card = ModelCard.of_version(model)
    card.model_copy(update={"max_pixels": 10_000}).write(model / CARD_FILE)
    found = workflow.capacity(model.parent, sides=(40, 100, 101), repeats=1)
    assert [need.side for need in found.needs] == [40, 100]
    assert found.stopped == "the export takes up to 10000 pixels"
    assert found.load > 0
    for need in found.needs:
        assert need.first > 0
        assert need.seconds > 0
        assert need.peak_mb >= found.idle_mb > 50


def test_estimates_grow_with_the_pixels():
    needs = [Need(100, 1.0, 0.1, 300.0), Need(1000, 2.0, 4.0, 500.0)]
    found = Capacity(needs, idle_mb=400.0, load=1.0, stopped=None)
    assert found.memory_mb(1_000_000) == 500.0
    assert found.memory_mb(2_000_000, at_once=3) == 1000.0
    assert found.seconds(500_000) == 2.0


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        ((-9, ""), "100 x 100: killed by signal 9; most likely out of memory"),
        ((1, "Traceback\nValueError: no"), "100 x 100: ValueError: no"),
    ],
)
def test_a_size_that_fails_is_the_last(exported, monkeypatch, ended, reason):
    run = subprocess.run

    def failing(command, **options):
        if command[-2] == "100":
            return subprocess.CompletedProcess(command, ended[0], "", ended[1])
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", failing)
    found = workflow.capacity(exported, sides=(40, 100, 200), repeats=1)
    assert [need.side for need in found.needs] == [40]
    assert found.stopped == reason
    with pytest.raises(ValueError, match=f"nothing could be measured: {reason}"):
        workflow.capacity(exported, sides=(100,), repeats=1)


def test_the_command(exported):
    ran = CliRunner().invoke(cli.app, ["capacity", str(exported), "--largest", "48"])
    assert ran.exit_code == 0, ran.output
    assert "48 x 48" in ran.output
    assert "2 images of 4.2 megapixels at once: about" in ran.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sides": ()}, "sides must be rising numbers of pixels from 1, found"),
        ({"sides": (64, 32)}, "sides must be rising numbers of pixels from 1, found"),
        ({"repeats": 0}, "repeats must be at least 1, found 0"),
    ],
)
def test_what_is_refused(exported, run, options, message):
    with pytest.raises(ValueError, match=message):
        workflow.capacity(exported, **options)
    with pytest.raises(ValueError, match="expected an exported model"):
        workflow.capacity(run)
