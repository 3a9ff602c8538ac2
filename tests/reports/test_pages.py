"""The pages of a run and of an evaluation: whole, safe, and alone in a file."""

from __future__ import annotations

import base64
import configparser
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_unet3p.artifacts import (
    DataRecord,
    EvaluationReport,
    History,
    PostprocessingRecord,
    RunFolder,
    RunRecord,
)
from keras_unet3p.config import TrainingConfig
from keras_unet3p.images import pictures
from keras_unet3p.images.pictures import CAPTION_HEIGHT
from keras_unet3p.reports import write_evaluation_page, write_run_page
from keras_unet3p.reports.embedded_pictures import embedded_panel
from keras_unet3p.reports.page import MOST_ROWS

FOREIGN = "<img src=x onerror=alert(1)>&\"'\n\udcff{{ 7 * 7 }}"


class _Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data.strip())


def _report(names, kind="binary", **overall):
    return EvaluationReport(
        mask_kind=kind,
        columns=["dice", "hausdorff_95"],
        images=[{"name": name, "dice": 0.5, "hausdorff_95": None} for name in names],
        overall={"dice": 0.75, "hausdorff_95": 3.0, **overall},
    )


def _write_pictures(report, out, size=(20, 30)):
    rng = np.random.default_rng(0)
    (out / "pictures").mkdir(parents=True)
    for rank in range(len(report.images)):
        image, mask = rng.random(size), rng.integers(0, 3, size)
        pictures.write_picture(report.picture(out, rank), pictures.result_panel(image, mask, mask))


@pytest.fixture
def run(tmp_path):
    """A run folder as a training leaves it, without its networks."""
    run = RunFolder(tmp_path / "<b>run")
    data = DataRecord(
        images="/home/someone/secret/images",
        masks="/home/someone/secret/masks",
        mask_kind="classes",
        classes=["background", FOREIGN, "vessel"],
        stored_types=["uint8"],
        normalization={},
        num_channels=1,
        num_classes=3,
        training_names=["a", "b"],
        validation_names=[FOREIGN, "d"],
    )
    record = RunRecord(
        training=TrainingConfig(epochs=7).to_dict(), data=data, versions={"keras": "3.0"}
    )
    run.path.mkdir()
    record.write(run.config)
    history = History(run.history, "val_dice")
    for epoch in (1, 2, 3):
        history.append(
            {
                "epoch": epoch,
                "loss": 1 / epoch,
                "val_loss": 1.1 / epoch,
                "dice": 0.5,
                "val_dice": 0.9 - abs(2 - epoch) / 10,
                "seconds": 400.0,
            }
        )
    report = _report([FOREIGN, "d"], "classes", dice_1=0.25, dice_2=1.0, iou_1=0.2, iou_2=1.0)
    _write_pictures(report, run.validation)
    report.write(run.validation / "metrics.json")
    PostprocessingRecord(
        threshold=0.4,
        smallest_object=16,
        largest_hole=0,
        measure="dice",
        score=0.75,
        default_score=0.7,
        curve=[(0.3, 0.6), (0.4, 0.74), (0.5, 0.7)],
        epoch=2,
        images=2,
    ).write(run.postprocessing)
    return run


def test_a_run_is_told_on_one_page(run):
    path = write_run_page(run)
    assert path == run.path / "report.html"
    assert not [each for each in run.path.iterdir() if ".tmp" in each.name]
    text = path.read_text(encoding="utf-8")
    page = _Page(text)
    words = " ".join(" ".join(page.text).split())
    for expected in (
        "Trained for 3 epochs in 20 min 0 s; the best epoch by validation Dice is 2",
        "by Dice: 0.7500, by default 0.7000 ( gained 0.0500 )",
        "chosen 0.4",
        "vessel",
        "keras 3.0",
    ):
        assert expected in words, expected
    assert [tag for tag, _ in page.tags].count("svg") == 3
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 2
    first = cv2.imdecode(
        np.frombuffer(base64.b64decode(images[0].partition(",")[2]), np.uint8), cv2.IMREAD_COLOR
    )
    assert first.shape == (20, 30 * 4 + 18, 3), "without its captions, which are text"
    assert ("td", {"class": "set"}) in page.tags, "epochs is not the default"
    assert write_run_page(run).read_text(encoding="utf-8") == text


def test_a_page_needs_nothing_else_and_tells_no_folders(run):
    text = write_run_page(run).read_text(encoding="utf-8")
    page = _Page(text)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?:|url\(|@import|onerror=alert\(1\)>", text)
    for _, attributes in page.tags:
        assert attributes.get("src", "data:").startswith("data:")
        assert not any(name.startswith("on") for name in attributes)
    assert "secret" not in text
    assert "{{ 7 * 7 }}" in text, "names are no template"
    assert r"\udcff" in text


def test_without_a_choice_and_a_history_the_rest_is_told(run):
    run.postprocessing.unlink()
    run.history.unlink()
    text = write_run_page(run).read_text(encoding="utf-8")
    assert "After the network" not in text
    assert "<svg" not in text
    assert "Configuration" in text


@pytest.mark.parametrize(
    ("model", "title"),
    [
        ("/somewhere/runs/cells", "cells"),
        ("http://user:password@host:8501/cells", "host/cells"),
    ],
)
def test_an_evaluation_is_told_on_one_page(tmp_path, model, title):
    report = _report([f"image {number}" for number in range(MOST_ROWS + 5)])
    _write_pictures(report, tmp_path, (4, 5))
    path = write_evaluation_page(tmp_path, report, model)
    page = _Page(path.read_text(encoding="utf-8"))
    words = " ".join(" ".join(page.text).split())
    assert words.startswith(title)
    assert "5 more are in metrics.csv." in words
    shown = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert [int(text.split()[-1]) for text in shown] == [0, 1, 2, 202, 203, 204]
    assert "password" not in words


def test_a_missing_picture_is_left_out(tmp_path):
    report = _report(["a", "b"])
    _write_pictures(report, tmp_path)
    report.picture(tmp_path, 0).unlink()
    report.picture(tmp_path, 1).write_bytes(b"no picture")
    text = write_evaluation_page(tmp_path, report, "cells").read_text(encoding="utf-8")
    assert "<img" not in text
    assert text.count("<td>a</td>") == 1


@pytest.mark.parametrize("size", [(900, 1000), (3000, 60), (8, 8)])
def test_pictures_are_small_enough_to_be_sent(tmp_path, size):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    panel = pictures.panel([("noise", noise)] * 4)
    pictures.write_picture(tmp_path / "a.png", panel)
    embedded = embedded_panel(tmp_path / "a.png")
    assert embedded.width <= 1400
    assert embedded.height <= 700
    ratio = panel.shape[1] / (panel.shape[0] - CAPTION_HEIGHT)
    assert embedded.width / embedded.height == pytest.approx(ratio, rel=0.05)
    assert len(embedded.uri) < 800_000


def test_the_template_is_part_of_the_package():
    """Named in the metadata: a wheel holds what is listed there."""
    metadata = configparser.ConfigParser()
    metadata.read(Path(__file__).parents[2] / "setup.cfg")
    assert "reports/page.html.jinja" in metadata["options.package_data"]["keras_unet3p"].split()
