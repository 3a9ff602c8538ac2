"""What follows the network is chosen on the validation images, kept and used."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from chosen_rules import run_with_choice

from keras_unet3p import data, metrics, postprocessing, workflow
from keras_unet3p.artifacts import ModelCard, PostprocessingRecord, RunFolder
from keras_unet3p.config import TrainingConfig
from keras_unet3p.images import read_image
from keras_unet3p.postprocessing import InstanceRule, MaskRule
from keras_unet3p.tiling import StreamingPredictor
from keras_unet3p.workflow import open_model
from keras_unet3p.workflow.kept_arrays import KeptArrays
from keras_unet3p.workflow.kept_predictions import KeptPredictions
from keras_unet3p.workflow.tuning import fitting_measure, tune


def _opened(masks, kind):
    return data.open_images([mask * np.uint8(40) for mask in masks], masks, mask_kind=kind)


def _specks():
    """Two squares, found with little certainty, with a hole in one and specks beside them."""
    mask = np.zeros((40, 60), np.uint8)
    mask[5:25, 5:25], mask[10:30, 35:55] = 1, 2
    probability = np.where(mask > 0, np.float32(0.4), np.float32(0.05))
    probability[12:14, 12:14] = 0.0
    probability[36:38, 4::8] = 0.6
    return mask, probability


@pytest.mark.parametrize("measure", ["auto", "dice", "seg", "ap", "rand"])
def test_the_rule_finds_what_the_measure_needs(measure):
    mask, probability = _specks()
    opened = _opened([mask, mask], "instances")
    with KeptPredictions([probability, probability]) as kept:
        chosen = tune(kept, opened, measure=measure, separation=0, epoch=3)
        again = tune(kept, opened, measure=measure, separation=0, epoch=3)
    assert again == chosen
    assert chosen.measure == ("ap" if measure == "auto" else measure)
    assert chosen.threshold <= 0.4
    assert chosen.score > chosen.default_score
    assert (chosen.epoch, chosen.images) == (3, 2)
    if measure in ("auto", "ap"):
        rule = MaskRule.from_dict(chosen.rule())
        assert rule.smallest_object
        found = postprocessing.label_instances(rule.class_ids(probability[..., None]), 0)
        counted = metrics.MASK_MEASURES["ap"]
        assert counted.score(counted.counts(mask, found, 2)) == chosen.score


def _faint_membranes():
    """Four cells between membranes, one of which has a gap that no threshold closes."""
    mask = np.ones((40, 40), np.uint8)
    mask[19:21] = mask[:, 19:21] = 0
    inside = np.minimum.outer(*[np.minimum(abs(np.arange(40) - 19.5), 6) / 6] * 2)
    probability = (0.55 + 0.4 * inside).astype(np.float32)
    probability[mask == 0] = 0.2
    probability[19:21, 8:12] = 0.62  # above what the dim cells have
    probability[30:, 30:] = 0.6
    return mask, probability


def test_a_watershed_is_chosen_where_no_threshold_parts_the_cells(tmp_path):
    mask, probability = _faint_membranes()
    opened = _opened([mask, mask], "binary")
    with KeptPredictions([probability] * 2) as kept, KeptArrays([probability] * 2) as maps:
        by_threshold = tune(kept, opened, measure="rand")
        chosen = tune(kept, opened, measure="rand", maps=maps)
    assert not by_threshold.gives_instances
    assert chosen.gives_instances
    assert chosen.score > by_threshold.score
    assert chosen.default_score == by_threshold.default_score
    rule = InstanceRule.from_dict(chosen.rule())
    assert rule.instances(probability).max() == 4


def test_classes_are_cleaned_without_a_threshold():
    mask = np.zeros((30, 40), np.uint8)
    mask[5:25, 5:20], mask[5:25, 20:35] = 1, 2
    ids = mask.copy()
    ids[::7, 38], ids[15:17, 10:12] = 2, 0
    with KeptPredictions([ids]) as kept:
        chosen = tune(kept, _opened([mask], "classes"))
    assert chosen.measure == "dice"
    assert (chosen.threshold, chosen.curve) == (0.5, [])
    assert (chosen.score, chosen.smallest_object, chosen.largest_hole) == (1.0, 8, 8)


@pytest.mark.parametrize("measure", ["dice", "seg", "rand"])
def test_pixels_without_a_label_have_no_say(measure):
    """Whatever is found there: neither the threshold nor the score depends on it."""
    mask, probability = _specks()
    mask[:, 30:33] = 255
    scores = []
    for value in (0.0, 0.45, 0.9):
        probability[:, 30:33] = value
        opened = data.open_images(
            [mask * np.uint8(0) + 9], [mask], mask_kind="instances", ignore=255
        )
        with KeptPredictions([probability]) as kept:
            chosen = tune(kept, opened, measure=measure, separation=0)
        scores.append((chosen.rule(), chosen.score, chosen.default_score))
    assert scores[0] == scores[1] == scores[2]


def test_nothing_better_keeps_the_default():
    mask = np.zeros((20, 20), np.uint8)
    mask[5:15, 5:15] = 1
    with KeptPredictions([mask.astype(np.float32)]) as kept:
        chosen = tune(kept, _opened([mask], "binary"), measure="rand")
    assert MaskRule.from_dict(chosen.rule()) == MaskRule()
    assert chosen.gain == 0


def test_objects_of_classes_have_no_measure(cells, tmp_path, quiet, small):
    with pytest.raises(ValueError, match=r"measure: 'ap' compares objects, and the masks hold cl"):
        fitting_measure("ap", "classes")
    with pytest.raises(ValueError, match="measure: it has no effect without tuning"):
        TrainingConfig(measure="rand", tuning=False)


def test_a_run_keeps_and_uses_what_was_chosen(run, cells, exported, tmp_path):
    chosen = RunFolder(run).read_postprocessing()
    assert chosen.measure == "ap"
    assert chosen.score >= chosen.default_score
    rule = MaskRule.from_dict(chosen.rule())
    assert open_model(run).rule == open_model(run / "best.keras").rule == rule
    assert open_model(run / "last-epoch-0001.keras").rule == MaskRule()
    assert StreamingPredictor(run).threshold == rule.threshold
    card = ModelCard.of_version(exported)
    assert card.threshold == rule.threshold
    assert card.training.postprocessing == rule.to_dict()
    assert open_model(exported).rule == rule


@pytest.fixture
def strict(run, tmp_path):
    """The run with a rule that shows."""
    chosen = {"threshold": 0.3, "smallest_object": 40, "largest_hole": 500}
    return run_with_choice(run, tmp_path / "strict", **chosen)


def test_masks_follow_the_rule_through_every_model(strict, cells, tmp_path):
    rule = MaskRule(0.3, 40, 500)
    image = read_image(next((cells / "images").iterdir()))[0]
    opened = open_model(strict, tile_size=64)
    expected = rule.class_ids(opened.probabilities(image))
    assert (expected != open_model(strict, tile_size=64, rule=MaskRule()).labels(image)).any()
    np.testing.assert_array_equal(opened.labels(image), expected)
    version = workflow.export(strict, tmp_path / "served", tile_size=64)
    assert np.mean(open_model(version).labels(image) != expected) < 0.01
    assert open_model(version).rule == rule
    assert open_model(workflow.export(strict, tmp_path / "m", threshold=0.7)).rule.threshold == 0.7


def test_a_rule_is_refused_where_it_would_not_be_used(exported):
    for model in (exported, "http://localhost:1/cells"):
        with pytest.raises(ValueError, match=r"rule: .* has its own threshold; expected"):
            open_model(model, rule=MaskRule())


def test_what_was_chosen_for_an_earlier_network_does_not_count(strict):
    with (strict / "history.csv").open("a") as file:
        columns = (strict / "history.csv").read_text().splitlines()[0].split(",")
        row = dict.fromkeys(columns, "1.0")
        file.write(",".join({**row, "epoch": "3", "val_dice": "1.0"}.values()) + "\n")
    assert RunFolder(strict).read_postprocessing() is None
    assert open_model(strict).rule == MaskRule()


@pytest.mark.parametrize("content", ["", "[]", '{"threshold": 2}'])
def test_a_damaged_choice_is_named_with_the_way_out(strict, content):
    RunFolder(strict).postprocessing.write_text(content)
    with pytest.raises(ValueError, match=r"postprocessing\.json is damaged \(.*; restore it"):
        open_model(strict)


def test_a_finished_run_chooses_anew(strict, cells, quiet, small):
    """By another measure, or not at all; the network stays."""
    weights = keras.models.load_model(strict / "best.keras", compile=False).get_weights()

    def train(**options):
        workflow.train(
            cells / "images",
            cells / "masks",
            out=strict,
            config=TrainingConfig(**small, **options),
            console=quiet,
        )
        return RunFolder(strict).read_postprocessing()

    chosen = train(measure="rand")
    assert chosen.measure == "rand"
    record = RunFolder(strict).read_record()
    assert record.training["measure"] == "rand"
    report = json.loads((strict / "validation" / "metrics.json").read_text())
    assert 1 - report["overall"]["rand_error"] == pytest.approx(chosen.score)
    assert train(tuning=False) is None
    assert open_model(strict).rule == MaskRule()
    after = keras.models.load_model(strict / "best.keras", compile=False).get_weights()
    for before, now in zip(weights, after, strict=True):
        np.testing.assert_array_equal(now, before)


def test_the_record_is_read_as_it_was_written(tmp_path):
    record = PostprocessingRecord(
        threshold=0.4,
        smallest_object=3,
        largest_hole=0,
        measure="seg",
        score=0.5,
        default_score=0.4,
        curve=[(0.4, 0.5), (0.5, 0.4)],
        epoch=2,
        images=4,
    )
    record.write(tmp_path / "postprocessing.json")
    assert PostprocessingRecord.read(tmp_path / "postprocessing.json") == record


def test_a_training_and_an_evaluation_end_with_a_page(run, cells, tmp_path):
    chosen = RunFolder(run).read_postprocessing()
    page = (run / "report.html").read_text(encoding="utf-8")
    assert f"{chosen.score:.4f}" in page
    assert page.count("<img") == len(RunFolder(run).read_record().data.validation_names)
    workflow.evaluate(run, cells / "images", cells / "masks", out=tmp_path / "evaluation")
    page = (tmp_path / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 6
    assert "Learning curves" not in page
