"""Masks of instances give instances: in training, files, exports and answers."""

from __future__ import annotations

import csv
import json
import shutil

import cv2
import keras
import numpy as np
import pytest
import roifile
import tifffile

from keras_unet3p import data, metrics, models, workflow
from keras_unet3p.artifacts import ModelCard, RunFolder
from keras_unet3p.config import TrainingConfig
from keras_unet3p.images import pictures, read_image
from keras_unet3p.postprocessing import InstanceRule, label_instances
from keras_unet3p.tiling import StreamingPredictor
from keras_unet3p.workflow import open_model

_LEARNING = {
    "architecture": "unet",
    "filters": 8,
    "depth": 4,
    "batch_norm": True,
    "patch_size": 64,
    "batch_size": 4,
    "epochs": 4,
    "steps_per_epoch": 60,
    "learning_rate": 1e-2,
    "warmup_steps": 10,
    "weight_average": 0.9,
}


def _stored(path):
    """What the file holds, (H, W)."""
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


_QUICK = {
    "architecture": "unet",
    "filters": 2,
    "depth": 1,
    "patch_size": 32,
    "batch_size": 2,
    "epochs": 1,
    "steps_per_epoch": 2,
}


@pytest.fixture(scope="module")
def touching(tmp_path_factory):
    """Images in which many cells touch."""
    folder = tmp_path_factory.mktemp("touching")
    for number in range(10):
        image, labels = data.generate_cells((128, 128), seed=number, num_cells=14)
        pictures.write_picture(folder / "images" / f"cell_{number}.png", image)
        pictures.write_picture(folder / "masks" / f"cell_{number}.png", labels.astype(np.uint16))
    return folder


@pytest.fixture(scope="module")
def learnt(touching, tmp_path_factory, quiet):
    """A run that has learnt to tell cells apart."""
    out = tmp_path_factory.mktemp("runs") / "instances"
    config = TrainingConfig(**_LEARNING)
    workflow.train(touching / "images", touching / "masks", config, out=out, console=quiet)
    return out


@pytest.fixture(scope="module")
def served(learnt, tmp_path_factory):
    return workflow.export(learnt, tmp_path_factory.mktemp("models") / "cells", tile_size=64)


def _average_precision(found, truths):
    counted = metrics.MASK_MEASURES["ap"]
    return counted.score(
        sum(counted.counts(truth, ids, 2) for truth, ids in zip(truths, found, strict=True))
    )


def test_touching_cells_get_numbers_of_their_own(learnt):
    """More of them than the pieces of the foreground are."""
    new = [data.generate_cells((128, 128), seed=100 + n, num_cells=14) for n in range(4)]
    predictor = open_model(learnt, tile_size=64)
    assert isinstance(predictor.rule, InstanceRule)
    images, truths = zip(*new, strict=True)
    images = [image[..., None] for image in images]
    told_apart = _average_precision([predictor.instances(image) for image in images], truths)
    pieces = _average_precision(
        [label_instances(predictor.labels(image), 0) for image in images], truths
    )
    # After seconds of training; the pieces of the foreground score 0.03.
    assert told_apart > 0.08
    assert told_apart > 2 * pieces


def test_the_rule_is_kept_with_what_it_gains(learnt):
    record = RunFolder(learnt).read_postprocessing()
    assert record.gives_instances
    assert record.measure == "ap"
    assert record.score >= record.default_score
    assert len(record.curve) == 9
    predictor = open_model(learnt)
    assert predictor.rule == InstanceRule.from_dict(record.rule())
    page = (learnt / "report.html").read_text()
    assert "threshold of the seeds" in page
    report = json.loads((learnt / "validation" / "metrics.json").read_text())
    assert report["overall"]["average_precision@0.5"] > 0.1
    assert {"pq", "average_precision@0.9"} <= set(report["overall"])


def test_validation_is_that_of_the_predictor(learnt, touching):
    names = RunFolder(learnt).read_record().data.validation_names
    report = json.loads((learnt / "validation" / "metrics.json").read_text())
    rows = {row["name"]: row for row in report["images"]}
    predictor = open_model(learnt)
    for name in names:
        image = _stored(touching / "images" / f"{name}.png")[..., None]
        truth = _stored(touching / "masks" / f"{name}.png")
        measures = metrics.evaluate_labels(truth, predictor.instances(image), mask_kind="instances")
        assert rows[name]["seg"] == pytest.approx(measures["seg"])


def test_predict_writes_numbers_and_a_table(learnt, touching, tmp_path):
    written = workflow.predict(
        learnt,
        touching / "images",
        out=tmp_path,
        tile_size=64,
        pixel_size=0.5,
        polygons="geojson",
    )
    with (tmp_path / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "images.csv").open(newline="") as file:
        counts = {row["image"]: row for row in csv.DictReader(file)}
    assert list(counts) == [path.name for path in written]
    assert len(written) == 10
    for path in written:
        ids = _stored(path)
        assert ids.dtype == np.uint16
        count = counts[path.name]
        assert int(count["objects"]) == ids.max()
        edges = np.concatenate([ids[0], ids[-1], ids[:, 0], ids[:, -1]])
        assert int(count["at_border"]) == len(np.unique(edges[edges > 0]))
        if ids.any():
            assert float(count["mean_area"]) == pytest.approx((ids > 0).sum() / ids.max())
            assert float(count["mean_area_um2"]) == float(count["mean_area"]) / 4
        own = [row for row in rows if row["image"] == path.name]
        assert [int(row["id"]) for row in own] == list(range(1, ids.max() + 1))
        areas = np.bincount(ids.ravel())[1:]
        assert [float(row["area"]) for row in own] == areas.tolist()
        assert [float(row["area_um2"]) for row in own] == (areas / 4).tolist()
        assert (tmp_path / "overlays" / path.name).is_file()
        outlines = json.loads(path.with_suffix(".geojson").read_text())
        assert len(outlines["features"]) == ids.max()


def test_masks_as_tiff_and_outlines_for_imagej(learnt, touching, tmp_path):
    options = {"out": tmp_path, "tile_size": 64, "mask_format": "tiff", "polygons": "imagej"}
    written = workflow.predict(learnt, touching / "images", **options)
    predictor = open_model(learnt, tile_size=64)
    for path in written:
        assert path.suffix == ".tif"
        ids = tifffile.imread(path)
        (image,) = read_image(touching / "images" / f"{path.stem}.png")
        np.testing.assert_array_equal(ids, predictor.instances(image))
        rois = roifile.roiread(path.with_suffix(".rois.zip"))
        assert [int(roi.name) for roi in rois] == list(range(1, ids.max() + 1))
        assert (tmp_path / "overlays" / f"{path.stem}.png").is_file()
    with pytest.raises(
        ValueError, match=r"mask_format must be one of \['auto', 'png', 'tiff'\], found"
    ):
        workflow.predict(learnt, touching / "images", **{**options, "mask_format": "bmp"})


def test_the_export_gives_the_same_instances(learnt, served, touching):
    """Of images larger than its tiles, which cut no instance."""
    image = np.concatenate([_stored(path) for path in sorted((touching / "images").iterdir())[:2]])[
        :151, :93, None
    ]
    here, there = open_model(learnt, tile_size=64), open_model(served)
    np.testing.assert_array_equal(here.instances(image), there.instances(image))
    np.testing.assert_array_equal(here.labels(image), there.labels(image))
    assert there.rule == here.rule
    assert there.num_classes == 1
    card = ModelCard.of_version(served)
    assert card.threshold == here.rule.threshold
    maps = StreamingPredictor(served).predict(image, kind="classes", progress=False)
    assert maps.shape == (*image.shape[:2], 2)


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_an_endpoint_answers_with_instances(learnt, served, touching, kind):
    pytest.importorskip("uvicorn")
    from keras_unet3p.client import Client
    from keras_unet3p.endpoint import LocalServer

    path = sorted((touching / "images").iterdir())[0]
    image = _stored(path)[..., None]
    expected = open_model(learnt, tile_size=64).instances(image)
    with LocalServer({"cells": served.parent}) as server:
        url = server.url if kind == "http" else f"grpc://{server.grpc_address}"
        with Client(url, "cells") as client:
            for given in (path, image):
                found = client.predict_instances(given)
                assert found.dtype == np.int32
                np.testing.assert_array_equal(found, expected)


def test_a_model_without_instances_says_so(exported, touching):
    pytest.importorskip("uvicorn")
    from keras_unet3p.client import Client, EndpointError
    from keras_unet3p.endpoint import LocalServer

    with LocalServer({"cells": exported.parent}) as server, Client(server.url) as client:
        image = sorted((touching / "images").iterdir())[0]
        with pytest.raises(EndpointError, match="no signature 'instances_of_bytes'"):
            client.predict_instances(image)


def test_evaluate_compares_instances(learnt, served, touching, tmp_path):
    folders = touching / "images", touching / "masks"
    of_run = workflow.evaluate(learnt, *folders, out=tmp_path / "report", tile_size=64)
    assert of_run.mask_kind == "instances"
    assert of_run.overall["average_precision@0.5"] > 0.1
    assert of_run.overall == workflow.evaluate(served, *folders).overall
    assert "average_precision@0.8" in of_run.columns


def test_gaps_stay_a_choice(touching, tmp_path, quiet):
    config = TrainingConfig(**_QUICK, instances="gaps")
    workflow.train(touching / "images", touching / "masks", config, out=tmp_path, console=quiet)
    network = keras.models.load_model(tmp_path / "best.keras")
    assert network.num_classes == 1
    assert open_model(tmp_path).instances is None
    for option in ({"pixel_size": 1.0}, {"polygons": "geojson"}):
        with pytest.raises(ValueError, match=r"_?\w+: .* does not tell instances apart"):
            workflow.predict(tmp_path, touching / "images", out=tmp_path / "p", **option)
    with pytest.raises(ValueError, match=r"polygons must be one of \['geojson', 'imagej'\]"):
        workflow.predict(tmp_path, touching / "images", out=tmp_path / "p", polygons="svg")


def test_without_tuning_the_default_rule_follows(touching, tmp_path, quiet):
    config = TrainingConfig(**_QUICK, tuning=False)
    workflow.train(touching / "images", touching / "masks", config, out=tmp_path, console=quiet)
    assert not (tmp_path / "postprocessing.json").exists()
    assert open_model(tmp_path).rule == InstanceRule()
    version = workflow.export(tmp_path, tmp_path / "models", tile_size=64)
    assert open_model(version).rule == InstanceRule()


@pytest.mark.parametrize("loss", ["dice", "focal", "hybrid"])
def test_other_losses_learn_the_maps_too(loss):
    from keras_unet3p.workflow.training_job import TrainingJob

    images, masks = zip(*(data.generate_cells(64, seed=n) for n in range(2)), strict=True)
    opened = data.open_images(images, masks)
    config = TrainingConfig(
        architecture="unet", filters=2, depth=1, patch_size=32, batch_size=2, loss=loss
    )
    job = TrainingJob(config, opened, opened)
    image, maps = next(iter(job.training_data(0)))
    assert maps.shape == (2, 32, 32, 2)
    assert np.isfinite(job.build().train_on_batch(image, maps)).all()


def test_a_keras_file_with_a_rule(tmp_path):
    models.unet((None, None, 1), 2, "sigmoid", filters=2, depth=1).save(tmp_path / "own.keras")
    with pytest.raises(ValueError, match="the classes of this model may overlap"):
        open_model(tmp_path / "own.keras")
    predictor = open_model(tmp_path / "own.keras", rule=InstanceRule(), tile_size=32)
    assert predictor.instances(np.zeros((40, 50, 1), np.uint8)).shape == (40, 50)
    models.unet((None, None, 1), 3, filters=2, depth=1).save(tmp_path / "three.keras")
    with pytest.raises(ValueError, match="an InstanceRule for a network of 3 classes"):
        open_model(tmp_path / "three.keras", rule=InstanceRule())


def test_one_map_with_a_rule_gives_instances_too(run, touching, tmp_path):
    """As is chosen for cells between membranes."""
    shutil.copytree(run, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    chosen = folder.read_postprocessing()
    rule = {"threshold": 0.4, "seed_threshold": 0.6, "smallest_seed": 2, "smallest_object": 4}
    chosen.model_copy(update={**rule, "largest_hole": 0}).write(folder.postprocessing)
    predictor = open_model(folder.path, tile_size=64)
    assert predictor.rule == InstanceRule.from_dict(rule)
    image = _stored(sorted((touching / "images").iterdir())[0])[..., None]
    expected = InstanceRule.from_dict(rule).instances(predictor.probabilities(image))
    np.testing.assert_array_equal(predictor.instances(image), expected)
    version = workflow.export(folder.path, tmp_path / "models", tile_size=64)
    served = open_model(version)
    np.testing.assert_array_equal(served.instances(image), expected)
    np.testing.assert_array_equal(served.labels(image), predictor.labels(image))
