"""Whether masks are made of the mean over mirrored and turned versions of each tile."""

import io

import numpy as np
import pytest
from chosen_rules import run_with_choice
from rich.console import Console

from keras_unet3p import data, tiling, workflow
from keras_unet3p.artifacts import ModelCard, RunFolder
from keras_unet3p.config import TrainingConfig
from keras_unet3p.images import read_image
from keras_unet3p.postprocessing import MaskRule
from keras_unet3p.workflow import open_model, results
from keras_unet3p.workflow.predictor import Predictor, unit_values


def _predictor(error, averaged_error):
    """Says of each pixel what is true, and the contrary of a share of them."""

    def says(image, share):
        truth = image[..., :1] > 0
        wrong = np.random.default_rng(0).random(truth.shape) < share
        return (truth ^ wrong).astype(np.float32)

    def of(share, other):
        return Predictor(
            lambda image: says(image, share)[..., 0].astype(np.uint8),
            1,
            unit_values(1),
            1,
            probabilities=lambda image: says(image, share),
            averaged=None if other is None else lambda versions: of(other, None),
        )

    return of(error, averaged_error)


@pytest.fixture
def chosen(tmp_path):
    """Chooses between two networks; gives the record, what was said and the evaluation."""
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :32] = 1
    images = data.open_images([mask * 99], [mask], mask_kind="binary")

    def choose(error, averaged_error, wanted="auto", seconds=3600.0):
        run, said = RunFolder(tmp_path), io.StringIO()
        report = results.choose_and_evaluate(
            run,
            TrainingConfig(test_time_augmentation=wanted),
            lambda number: _predictor(error, averaged_error),
            images,
            1,
            seconds,
            Console(file=said, width=500),
        )
        return run.read_postprocessing(), said.getvalue(), report

    return choose


def test_the_mean_is_taken_where_it_gains_a_lot(chosen):
    record, said, report = chosen(0.4, 0.1)
    assert record.test_time_augmentation == 8
    assert record.score == record.averaged_score > record.single_score
    assert record.default_score <= record.single_score
    assert "8 mirrored and turned versions" in said
    assert said.rstrip().endswith(": taken")
    assert report.overall["dice"] == pytest.approx(record.score, abs=1e-6)


@pytest.mark.parametrize("error", [0.1, 0.099])
def test_a_small_gain_is_told_and_not_taken(chosen, error):
    record, said, report = chosen(0.1, error)
    assert record.test_time_augmentation == 1
    assert record.score == record.single_score
    assert record.averaged_score is not None
    assert said.rstrip().endswith(": not taken")
    assert report.overall["dice"] == pytest.approx(record.score, abs=1e-6)


def test_it_is_taken_where_it_is_asked_for(chosen):
    record = chosen(0.1, 0.1, wanted=True, seconds=0.0)[0]
    assert record.test_time_augmentation == 8


@pytest.mark.parametrize(("wanted", "seconds"), [(False, 3600.0), ("auto", 0.0)])
def test_it_is_not_tried_where_it_is_not_wanted_or_takes_too_long(chosen, wanted, seconds):
    record, said, _ = chosen(0.4, 0.1, wanted, seconds)
    assert (record.test_time_augmentation, record.averaged_score) == (1, None)
    assert "mirrored" not in said


def test_it_goes_with_tuning():
    with pytest.raises(ValueError, match="test_time_augmentation: it has no effect without tuning"):
        TrainingConfig(test_time_augmentation=True, tuning=False)


@pytest.fixture
def averaging(run, tmp_path):
    """The run, with the mean over 8 versions chosen."""
    chosen = {"test_time_augmentation": 8, "threshold": 0.4, "smallest_object": 0}
    return run_with_choice(run, tmp_path / "averaging", **chosen)


def test_every_way_to_a_mask_has_it(averaging, cells, tmp_path):
    image = read_image(next((cells / "images").iterdir()))[0]
    rule = MaskRule(0.4, 0, RunFolder(averaging).read_postprocessing().largest_hole)
    opened = open_model(averaging, tile_size=64)
    assert opened.test_time_augmentation == 8
    single = open_model(averaging, tile_size=64, test_time_augmentation=1)
    network = single.probabilities(image)
    assert np.abs(opened.probabilities(image) - network).max() > 1e-4
    np.testing.assert_array_equal(opened.labels(image), rule.class_ids(opened.probabilities(image)))
    np.testing.assert_allclose(
        single.averaged(8).probabilities(image), opened.probabilities(image), atol=1e-6
    )
    # Windows of an image.
    assert tiling.StreamingPredictor(averaging, tile_size=64).test_time_augmentation == 8
    streamed = np.zeros((*image.shape[:2], 1), np.float32)
    opened.stream(image, streamed, "probabilities")
    np.testing.assert_allclose(streamed, opened.probabilities(image), atol=1e-5)
    # The served model.
    version = workflow.export(averaging, tmp_path / "served", tile_size=64)
    assert ModelCard.of_version(version).test_time_augmentation == 8
    assert open_model(version).test_time_augmentation == 8
    assert np.mean(open_model(version).labels(image) != opened.labels(image)) < 0.01
    from_windows = tiling.StreamingPredictor(version).predict(image, progress=False)
    assert np.mean(from_windows != rule.class_ids(opened.probabilities(image))) < 0.1
    with pytest.raises(ValueError, match=r"test_time_augmentation: .* has its own"):
        open_model(version, test_time_augmentation=2)
    plain = workflow.export(averaging, tmp_path / "plain", tile_size=64, test_time_augmentation=1)
    assert ModelCard.of_version(plain).test_time_augmentation == 1


def test_predict_and_evaluate_take_another_number(averaging, cells, tmp_path):
    found = {
        versions: workflow.evaluate(
            averaging,
            cells / "images",
            cells / "masks",
            tile_size=64,
            test_time_augmentation=versions,
        ).overall["dice"]
        for versions in (None, 8, 1)
    }
    assert found[None] == found[8] != found[1]
    masks = workflow.predict(
        averaging,
        cells / "images",
        out=tmp_path / "m",
        tile_size=64,
        test_time_augmentation=1,
        overlays=False,
    )
    assert len(masks) == 8
