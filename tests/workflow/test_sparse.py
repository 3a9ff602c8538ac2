"""Training and evaluation on masks of which a share of the pixels is labelled."""

import json

import keras
import numpy as np
import pytest

from keras_unet3p import data, workflow
from keras_unet3p.artifacts import ModelCard, RunFolder
from keras_unet3p.config import TrainingConfig
from keras_unet3p.images import pictures
from keras_unet3p.workflow.training_job import TrainingJob

SIDE = 96
VALUE = 255


def blocks(seed: int, share: float, side: int = 8) -> np.ndarray:
    """Which pixels are annotated: whole blocks, (SIDE, SIDE) bool."""
    count = (SIDE // side) ** 2
    chosen = np.zeros(count, bool)
    chosen[np.random.default_rng(seed).permutation(count)[: round(share * count)]] = True
    return np.kron(chosen.reshape(SIDE // side, -1), np.ones((side, side), bool))


def write_set(folder, unlabelled):
    """Eight images; `unlabelled` is what pixels outside the blocks become, None for none."""
    for number in range(8):
        image, labels = data.generate_cells(SIDE, seed=number)
        mask = (labels > 0).astype(np.uint8)
        if unlabelled is not None:
            mask = np.where(blocks(number, 0.1), mask, unlabelled).astype(np.uint8)
        pictures.write_picture(folder / "images" / f"cell_{number}.png", image)
        pictures.write_picture(folder / "masks" / f"cell_{number}.png", mask)
    return folder


CONFIG = TrainingConfig(
    architecture="unet",
    filters=6,
    depth=2,
    batch_norm=True,
    loss="weighted_cross_entropy",
    patch_size=48,
    batch_size=8,
    epochs=1,
    steps_per_epoch=40,
    learning_rate=1e-2,
    border_weights=False,
    validation=0.25,
)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("full"), None)


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("sparse"), VALUE)


def train(folder, out, quiet, **options):
    config = TrainingConfig(**{**CONFIG.to_dict(), "steps_per_epoch": 10})
    folders = folder / "images", folder / "masks"
    workflow.train(*folders, config, out=out, console=quiet, mask_kind="binary", **options)
    return out


@pytest.fixture(scope="module")
def sparse_run(sparse, tmp_path_factory, quiet):
    return train(sparse, tmp_path_factory.mktemp("runs") / "sparse", quiet, ignore=VALUE)


def opened(folder, **options):
    return data.open_images(folder / "images", folder / "masks", mask_kind="binary", **options)


def dice_after_training(images, truth):
    """Dice on the fully annotated set, over all its pixels."""
    keras.utils.set_random_seed(0)
    job = TrainingJob(CONFIG, images, images)
    model = job.build()
    model.fit(job.training_data(0), epochs=1, steps_per_epoch=CONFIG.steps_per_epoch, verbose=0)
    predicted = model.predict(np.stack([s.image for s in truth]), verbose=0)[..., 0] > 0.5
    labels = np.stack([sample.labels for sample in truth]) > 0
    return 2 * np.sum(predicted & labels) / (predicted.sum() + labels.sum())


def test_a_tenth_of_the_pixels_is_nearly_as_good_as_all(full, sparse, tmp_path):
    truth = opened(full)
    everything = dice_after_training(truth, truth)
    found = dice_after_training(opened(sparse, ignore=VALUE), truth)
    as_background = dice_after_training(opened(write_set(tmp_path, 0)), truth)
    assert found > everything - 0.05, (found, everything)
    assert found > as_background + 0.15, (found, as_background)


def test_the_run_and_its_export_know_the_value(sparse_run, sparse, full, tmp_path):
    record = json.loads((sparse_run / "config.json").read_text())
    assert record["data"]["ignore"] == VALUE
    version = workflow.export(sparse_run, tmp_path / "cells", tile_size=96)
    assert ModelCard.of_version(version).training.ignore == VALUE
    for model in (sparse_run, version):
        report = workflow.evaluate(model, sparse / "images", sparse / "masks", out=tmp_path / "out")
        assert 0 <= report.overall["dice"] <= 1
    with pytest.raises(ValueError, match="--ignore 255"):
        workflow.evaluate(sparse_run, sparse / "images", sparse / "masks", ignore=None)
    with pytest.raises(ValueError, match="ignore is 'all'"):
        workflow.evaluate(sparse_run, full / "images", full / "masks", ignore="all")


def test_another_value_does_not_continue_a_run(sparse_run):
    record = RunFolder(sparse_run).read_record()
    data_without = record.data.model_copy(update={"ignore": None})
    other = record.difference(record.model_copy(update={"data": data_without}))
    assert other == ("ignore", VALUE, None)


def test_every_head_leaves_them_out(tmp_path, quiet):
    """Deep supervision, classification guidance, border weights and instances together."""
    for number in range(3):
        image, labels = data.generate_cells(SIDE, seed=number)
        mask = np.where(blocks(number, 0.2), labels, VALUE).astype(np.uint16)
        pictures.write_picture(tmp_path / "images" / f"cell_{number}.png", image)
        pictures.write_picture(tmp_path / "masks" / f"cell_{number}.png", mask)
    config = TrainingConfig(
        filters=4,
        depth=2,
        classification_guided=True,
        border_weights=True,
        patch_size=32,
        batch_size=2,
        epochs=1,
        steps_per_epoch=2,
    )
    workflow.train(
        tmp_path / "images",
        tmp_path / "masks",
        config,
        out=tmp_path / "run",
        mask_kind="instances",
        ignore=VALUE,
        console=quiet,
    )
    report = json.loads((tmp_path / "run" / "validation" / "metrics.json").read_text())
    assert 0 <= report["overall"]["pixel_error"] <= 1
