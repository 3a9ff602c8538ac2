"""Looking at a set before a training."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from keras_unet3p import cli, data, workflow
from keras_unet3p.images import pictures


@pytest.fixture
def folders(tmp_path):
    for number in range(7):
        image, labels = data.generate_cells((100, 120), seed=number)
        pictures.write_picture(tmp_path / "images" / f"{number}.png", image)
        pictures.write_picture(tmp_path / "masks" / f"{number}.png", labels.astype(np.uint16))
    return tmp_path


def _command(folder, *options):
    command = ["check", "--images", str(folder / "images"), "--masks", str(folder / "masks")]
    return CliRunner().invoke(cli.app, [*command, *map(str, options)])


def test_a_notebook_shows_what_was_found():
    suspicion = data.Suspicion("blurred", "out of focus?", ["<a>", "b"])
    shown = workflow.DataCheck({"images": 3}, [suspicion])._repr_html_()
    assert "<td>images</td><td>3</td>" in shown
    assert "<td>out of focus?</td><td>&lt;a&gt;, b</td>" in shown
    assert "looks wrong" not in workflow.DataCheck({"images": 3}, [])._repr_html_()


def test_what_a_set_holds(folders):
    ran = _command(folders, "--out", folders / "out", "--json")
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    assert found == json.loads((folders / "out" / "check.json").read_text())
    counts = [data.generate_cells((100, 120), seed=number)[1].max() for number in range(7)]
    assert found["images"] == 7
    assert found["masks"] == "instances"
    assert found["largest"] == [100, 120]
    assert found["objects"] == sum(counts)
    assert found["objects in an image"] == [min(counts), max(counts)]
    assert sum(found["shares"].values()) == pytest.approx(1.0)
    assert found["suspicions"] == []
    sheet = cv2.imread(str(folders / "out" / "contact_sheet.png"))
    assert sheet.shape == (2 * (256 + pictures.CAPTION_HEIGHT), 6 * 256, 3)


def test_tables_and_what_looks_wrong(folders):
    assert "nothing looks wrong" in _command(folders).output
    pictures.write_picture(folders / "images" / "3.png", np.full((100, 120), 9, np.uint8))
    ran = _command(folders)
    assert ran.exit_code == 0
    assert "look at: every pixel has the same value: 3" in ran.output


def test_masks_of_background_alone_are_refused(folders, quiet):
    for number in range(7):
        pictures.write_picture(folders / "masks" / f"{number}.png", np.zeros((100, 120), np.uint8))
    ran = _command(folders)
    assert ran.exit_code == 1
    assert "error: every labelled pixel of the masks is background" in ran.output
    with pytest.raises(ValueError, match="every labelled pixel of the masks is background"):
        workflow.train(folders / "images", folders / "masks", out=folders / "run", console=quiet)


def test_folders_in_a_folder_are_named(folders):
    with pytest.raises(ValueError, match=r"holds folders only \(images, masks\); give one of them"):
        workflow.check(folders, folders / "masks")
