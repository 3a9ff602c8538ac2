"""Evaluation of a run."""

import csv
import json
import shutil

import numpy as np
import pytest

from keras_unet3p import data, models, workflow
from keras_unet3p.export import export_savedmodel
from keras_unet3p.images import pictures
from keras_unet3p.workflow.evaluation import evaluate_images
from keras_unet3p.workflow.predictor import Predictor, unit_values


class _Folder:
    """What `evaluate_images` uses of opened images."""

    ignore = None

    def __init__(self, kind, num_classes, samples):
        self.mask_kind, self.num_classes, self.samples = kind, num_classes, samples

    @property
    def names(self):
        return [sample.name for sample in self.samples]

    @property
    def volumes(self):
        return [None] * len(self.samples)

    def stored(self, index):
        return self.samples[index].image, self.samples[index].labels


def _sample(name, labels):
    return data.Sample(name, np.zeros((*labels.shape, 1), np.float32), labels)


def _predictor(predictions):
    remaining = iter(predictions)
    return Predictor(lambda image: next(remaining), 1, unit_values(1))


def test_dice_and_iou_are_those_of_the_counts(tmp_path):
    truth = np.array([[1, 1, 0, 0]], np.int32)
    folder = _Folder(
        "binary", 1, [_sample("a", truth), _sample("b", truth), _sample("c", 0 * truth)]
    )
    predictions = [np.array([[1, 0, 1, 0]]), np.array([[1, 1, 0, 0]]), np.zeros((1, 4), int)]
    report = evaluate_images(_predictor(predictions), folder, None)
    assert [row["name"] for row in report.images] == ["a", "b", "c"]
    assert report.images[0]["dice"] == pytest.approx(0.5)
    assert report.images[0]["iou"] == pytest.approx(1 / 3)
    assert report.images[0]["pixel_error"] == pytest.approx(0.5)
    assert report.images[2]["dice"] == 1.0, "nothing there and nothing found is perfect"
    assert report.overall["dice"] == pytest.approx(6 / 8)
    assert report.overall["iou"] == pytest.approx(3 / 5)


def test_classes_are_averaged_without_the_background():
    truth = np.array([[0, 0, 1, 1, 2, 2]], np.int32)
    prediction = np.array([[0, 0, 1, 2, 2, 2]])
    folder = _Folder("classes", 3, [_sample("a", truth)])
    report = evaluate_images(_predictor([prediction]), folder, None)
    assert report.columns[:2] == ["dice", "iou"]
    assert report.overall["iou"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert report.overall["dice"] == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_files_agree_with_the_report_and_pictures_are_ranked(run, cells, tmp_path):
    for _ in range(2):  # again over the first one's files
        report = workflow.evaluate(run, cells / "images", cells / "masks", out=tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text()) == report.to_dict()
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [r["name"] for r in report.images] + ["overall"]
    assert float(rows[-1]["dice"]) == report.overall["dice"]
    dices = [row["dice"] for row in report.images]
    assert dices == sorted(dices)
    ranked = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert ranked == [f"{i:04d}_{row['name']}.png" for i, row in enumerate(report.images)]


def test_names_that_look_ranked_keep_their_pictures(tmp_path):
    mask = np.array([[1, 0]], np.int32)
    folder = _Folder("binary", 1, [_sample(name, mask) for name in ("a", "0000_a", "0001_b")])
    for _ in range(2):
        evaluate_images(_predictor([1 - mask, mask, mask]), folder, tmp_path)
        found = sorted(path.name for path in (tmp_path / "pictures").iterdir())
        assert found == ["0000_a.png", "0001_0000_a.png", "0002_0001_b.png"]


def test_long_equal_and_foreign_names_keep_their_pictures(tmp_path):
    mask = np.array([[1, 0]], np.int32)
    names = ["n" * 251, "same", "same", "line\nbreak \udcff"]
    folder = _Folder("binary", 1, [_sample(name, mask) for name in names])
    for _ in range(2):
        evaluate_images(_predictor([1 - mask, mask, mask, mask]), folder, tmp_path)
        found = sorted(path.name for path in (tmp_path / "pictures").iterdir())
        assert found[0].startswith("0000_nnn")
        assert found[1:] == ["0001_same.png", "0002_same.png", "0003_line\nbreak \udcff.png"]
    lines = (tmp_path / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in lines[3:]] == ["same", "line\\nbreak \\udcff", "overall"]
    report = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in report["images"]] == names


def test_an_output_that_is_a_file_is_refused_before_the_model_is_loaded(tmp_path, cells):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match=r"out: \S*file is a file"):
        workflow.evaluate(
            tmp_path / "no model", cells / "images", cells / "masks", out=tmp_path / "file"
        )


def test_pictures_that_others_made_stay(run, cells, tmp_path):
    mine = tmp_path / "pictures" / "0000_mine.png"
    pictures.write_picture(mine, np.zeros((4, 4), np.uint8))
    for _ in range(2):
        workflow.evaluate(run, cells / "images", cells / "masks", out=tmp_path)
        assert mine.exists()
    with pytest.raises(ValueError, match="into the folder of images"):
        workflow.evaluate(run, tmp_path / "pictures", cells / "masks", out=tmp_path)


def test_masks_are_read_as_those_of_the_training(run, exported, tmp_path):
    """Instance masks of few cells look like masks of classes."""
    image, _ = data.generate_cells((64, 64), seed=3)
    labels = np.zeros((64, 64), np.uint8)
    labels[5:20, 5:20], labels[30:50, 30:50] = 1, 2
    pictures.write_picture(tmp_path / "images" / "a.png", image)
    pictures.write_picture(tmp_path / "masks" / "a.png", labels)
    assert data.open_images(tmp_path / "images", tmp_path / "masks").mask_kind == "classes"
    for model in (run, run / "best.keras", exported):
        report = workflow.evaluate(model, tmp_path / "images", tmp_path / "masks")
        assert report.mask_kind == "instances"
    alone = tmp_path / "alone.keras"
    shutil.copy(run / "best.keras", alone)
    with pytest.raises(ValueError, match="mask_kind"):
        workflow.evaluate(alone, tmp_path / "images", tmp_path / "masks")


def test_a_run_and_its_export_agree(run, exported, cells):
    ours = workflow.evaluate(run, cells / "images", cells / "masks", tile_size=64)
    served = workflow.evaluate(exported.parent, cells / "images", cells / "masks")
    for name, value in ours.overall.items():
        assert served.overall[name] == pytest.approx(value, abs=1e-3)


def test_what_is_no_model_is_refused(tmp_path, cells):
    with pytest.raises(ValueError, match="no run folder"):
        workflow.evaluate(tmp_path, cells / "images", cells / "masks")
    with pytest.raises(ValueError, match="no run folder"):
        workflow.export(tmp_path, tmp_path / "models")


def test_colour_images_are_judged_by_every_kind_of_model(tmp_path):
    """None of these knows how its training images were stored; the number of channels they do."""
    pytest.importorskip("uvicorn")
    from keras_unet3p.endpoint import LocalServer

    rng = np.random.default_rng(0)
    pictures.write_picture(
        tmp_path / "images" / "a.png", rng.integers(0, 255, (40, 40, 3), np.uint8)
    )
    pictures.write_picture(tmp_path / "masks" / "a.png", np.eye(40, dtype=np.uint8))
    network = models.unet((None, None, 3), 1, filters=2, depth=1)
    network.save(tmp_path / "bare.keras")
    version = export_savedmodel(network, tmp_path / "models" / "cells", tile_size=32)
    with LocalServer({"cells": version.parent}) as server:
        reports = [
            workflow.evaluate(model, tmp_path / "images", tmp_path / "masks", tile_size=32)
            for model in (tmp_path / "bare.keras", version, f"{server.url}/cells")
        ]
    for report in reports:
        assert report.overall["dice"] == pytest.approx(reports[0].overall["dice"], abs=1e-3)
