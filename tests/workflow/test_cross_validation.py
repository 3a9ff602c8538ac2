"""Cross-validation: every image is held out once, and the folds are one model."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from keras_unet3p import cli, data, workflow
from keras_unet3p.artifacts import EvaluationReport, FoldsRecord, ModelSource, RunFolder
from keras_unet3p.config import TrainingConfig
from keras_unet3p.errors import InputError
from keras_unet3p.images import pictures

OPTIONS = {
    "architecture": "unet",
    "filters": 4,
    "depth": 1,
    "patch_size": 32,
    "batch_size": 2,
    "epochs": 1,
    "steps_per_epoch": 3,
    "folds": 2,
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("five")
    for number in range(5):
        image, ids = data.generate_cells((48, 56), seed=number)
        pictures.write_picture(folder / "images" / f"{number}.png", image)
        pictures.write_picture(folder / "masks" / f"{number}.png", ids.astype(np.uint8))
        mask = np.where(ids > 0, np.uint8(255), np.uint8(0))
        pictures.write_picture(folder / "binary" / f"{number}.png", mask)
    return folder


def cross_validate(images, out, mask_kind="instances", **options):
    return workflow.cross_validate(
        images / "images",
        images / ("binary" if mask_kind == "binary" else "masks"),
        TrainingConfig(**{**OPTIONS, **options}),
        out=out,
        mask_kind=mask_kind,
        console=Console(file=io.StringIO()),
    )


@pytest.fixture(scope="module")
def folds(images, tmp_path_factory):
    out = tmp_path_factory.mktemp("folds") / "cells"
    cross_validate(images, out)
    return out


def test_every_image_is_held_out_once(folds):
    records = [RunFolder(folds / f"fold-{number}").read_record() for number in (1, 2)]
    held = [name for record in records for name in record.data.validation_names or []]
    assert sorted(held) == [str(number) for number in range(5)]
    for record in records:
        assert not set(record.data.training_names or []) & set(record.data.validation_names or [])


def test_the_record_holds_what_each_fold_reached(folds):
    record = FoldsRecord.read(folds / "folds.json")
    assert record.members == ["fold-1", "fold-2"]
    reached = [
        EvaluationReport.read(folds / name / "validation" / "metrics.json").overall["dice"]
        for name in record.members
    ]
    assert record.measures["dice"] == reached
    assert record.of("dice") == (np.mean(reached), pytest.approx(np.std(reached, ddof=1)))


def test_all_images_are_evaluated_by_the_network_that_has_not_seen_them(folds, images):
    report = EvaluationReport.read(folds / "validation" / "metrics.json")
    assert sorted(row["name"] for row in report.images) == [str(number) for number in range(5)]
    assert (folds / "postprocessing.json").is_file()
    (held,) = RunFolder(folds / "fold-1").read_record().data.validation_names[:1]
    chosen = workflow.open_model(folds).rule
    image = pictures_of(images, held)
    found = workflow.open_model(folds / "fold-1", rule=chosen).instances(image)
    row = next(row for row in report.images if row["name"] == held)
    truth = pictures_of(images, held, "masks")[..., 0] > 0
    both = np.sum(truth & (found > 0))
    assert row["dice"] == pytest.approx(2 * both / max(truth.sum() + (found > 0).sum(), 1))


def pictures_of(images, name, folder="images"):
    import cv2

    found = cv2.imread(str(images / folder / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    return found[..., np.newaxis]


def test_the_folds_are_one_model_that_averages(folds, images, tmp_path):
    image = pictures_of(images, "3")
    together = workflow.open_model(folds, tile_size=64)
    parts = [workflow.open_model(folds / f"fold-{n}", tile_size=64) for n in (1, 2)]
    mean = np.mean([part.probabilities(image) for part in parts], axis=0)
    np.testing.assert_allclose(together.probabilities(image), mean, atol=1e-5)
    workflow.export(folds, tmp_path / "cells", tile_size=64)
    served = workflow.open_model(tmp_path / "cells")
    np.testing.assert_array_equal(served.instances(image), together.instances(image))
    masks = workflow.predict(folds, images / "images", out=tmp_path / "out", tile_size=64)
    assert len(masks) == 5


def test_some_of_the_networks_are_exported_for_speed(folds, images, tmp_path):
    image = pictures_of(images, "3")
    first = workflow.open_model(folds / "fold-2", rule=workflow.open_model(folds).rule)
    command = ["export", str(folds), "--out", str(tmp_path / "cells"), "--tile-size", "64"]
    assert CliRunner().invoke(cli.app, [*command, "--member", "2"]).exit_code == 0
    served = workflow.open_model(tmp_path / "cells")
    np.testing.assert_array_equal(served.instances(image), first.instances(image))
    for members in ([], [3], [1, 1]):
        with pytest.raises(ValueError, match=r"members: found .* expected different folds of 1 to"):
            workflow.export(folds, tmp_path / "no", members=members)
    with pytest.raises(ValueError, match=r"members: .* which is one network"):
        workflow.export(folds / "fold-1", tmp_path / "no", members=[1])


def test_the_page_shows_every_fold(folds):
    text = (folds / "report.html").read_text()
    record = FoldsRecord.read(folds / "folds.json")
    for name in record.members:
        assert f'href="{name}/report.html"' in text
        assert (folds / name / "report.html").is_file()
    mean, spread = record.of("dice")
    assert f"{mean:.4f}" in text
    assert f"{spread:.4f}" in text
    assert "each segmented by" in text


def test_a_stopped_cross_validation_goes_on(folds, images, tmp_path):
    out = shutil.copytree(folds, tmp_path / "cells")
    (out / "folds.json").unlink()
    shutil.rmtree(out / "fold-2")
    before = (out / "fold-1" / "history.csv").read_text()
    record = cross_validate(images, out)
    assert record.members == ["fold-1", "fold-2"]
    assert (out / "fold-1" / "history.csv").read_text() == before
    assert RunFolder(out / "fold-2").read_history().best() is not None


def test_what_looks_wrong_is_told_once_and_not_for_each_fold(images, tmp_path):
    for kind in ("images", "masks"):
        shutil.copytree(images / kind, tmp_path / kind)
        shutil.copy(tmp_path / kind / "0.png", tmp_path / kind / "again.png")
    with pytest.warns(UserWarning, match="again") as told:
        cross_validate(tmp_path, tmp_path / "out")
    twice = [str(warning.message) for warning in told if "again" in str(warning.message)]
    assert len(twice) == 1


def test_masks_of_one_class_and_neighbouring_images(images, tmp_path):
    record = cross_validate(
        images, tmp_path / "out", "binary", contiguous_validation=True, tuning=False
    )
    held = [
        json.loads((tmp_path / "out" / name / "config.json").read_text())["data"][
            "validation_names"
        ]
        for name in record.members
    ]
    assert held == [["0", "1", "2"], ["3", "4"]]
    assert not (tmp_path / "out" / "postprocessing.json").exists()
    assert ModelSource.of(tmp_path / "out").kind == "folds"


def test_the_command(images, tmp_path):
    arguments = ["train", "--images", images / "images", "--masks", images / "binary"]
    arguments += ["--out", tmp_path / "out", "--folds", 2, "--architecture", "unet"]
    arguments += ["--filters", 2, "--depth", 1, "--patch-size", 32, "--epochs", 1]
    arguments += ["--steps-per-epoch", 1, "--batch-size", 1]
    ran = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert ran.exit_code == 0, ran.output
    assert (tmp_path / "out" / "folds.json").is_file()
    refused = [*arguments, "--validation-images", images / "images"]
    ran = CliRunner().invoke(cli.app, list(map(str, refused)))
    assert isinstance(ran.exception, InputError)
    assert "validation_images: folds hold out images of their own" in str(ran.exception)


def test_what_does_not_go_together(images, folds, tmp_path):
    with pytest.raises(InputError, match="fold is 3, of 2 folds"):
        TrainingConfig(folds=2, fold=3)
    with pytest.raises(InputError, match="fold is 1, of no folds"):
        TrainingConfig(fold=1)
    with pytest.raises(InputError, match="which of the folds"):
        workflow.train("images", "masks", TrainingConfig(folds=2), out=tmp_path)
    with pytest.raises(InputError, match="expected folds without fold"):
        cross_validate(images, tmp_path / "out", fold=1)
    with pytest.raises(InputError, match="9 folds of 5 images"):
        cross_validate(images, tmp_path / "out", folds=9)
    with pytest.raises(InputError, match="whose networks have weights of their own each"):
        workflow.train(images, images, TrainingConfig(init=str(folds)), out=tmp_path / "run")
    shutil.copytree(folds, tmp_path / "broken")
    shutil.rmtree(tmp_path / "broken" / "fold-2")
    with pytest.raises(InputError, match="its fold fold-2 is no run folder"):
        workflow.open_model(tmp_path / "broken")
