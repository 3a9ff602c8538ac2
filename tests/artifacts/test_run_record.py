"""The configuration that a run keeps."""

import json

import pytest

from keras_unet3p.artifacts import DataRecord, RunRecord
from keras_unet3p.artifacts.run_record import agree
from keras_unet3p.config import FOUND_IN_DATA, DataChoices, TrainingConfig, read_run_file
from keras_unet3p.errors import InputError

DATA = {
    "mask_kind": "instances",
    "classes": None,
    "stored_types": ["uint8"],
    "normalization": {"mean": [0.5], "std": [0.2], "value_scale": "dtype"},
}


def _record(data=(), **training):
    config = TrainingConfig(**training).to_dict()
    return RunRecord(training=config, data={**DATA, **dict(data)})


def test_a_record_has_the_choices_and_what_was_found():
    assert set(DataRecord.model_fields) == {*DataChoices.model_fields, *FOUND_IN_DATA}


def test_the_choices_of_a_run_are_read_again(tmp_path):
    record = _record({"images": "a", "training_names": ["x"]}, filters=8)
    record.write(tmp_path / "config.json")
    choices = read_run_file(tmp_path / "config.json")
    assert TrainingConfig(**choices.training) == record.training_config()
    assert (choices.data["images"], "training_names" in choices.data) == ("a", False)


def test_the_choices_of_a_newer_run_are_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**_record().to_dict(), "format": 2}))
    with pytest.raises(InputError, match=r"config\.json is of format 2; accepted is format 1"):
        read_run_file(path)


def test_a_run_whose_choices_are_no_longer_accepted_is_read(tmp_path):
    """Its network is used all the same."""
    content = {"training": {"separation": 2, "architecture": "fcn", "batch_norm": True}}
    (tmp_path / "config.json").write_text(json.dumps({**content, "data": DATA}))
    record = RunRecord.read(tmp_path / "config.json")
    assert record.separation == 2
    with pytest.raises(InputError, match="batch_norm"):
        record.training_config()


@pytest.mark.parametrize("training", [{}, {"separation": "2"}, {"separation": True}, []])
def test_the_separation_must_be_there(tmp_path, training):
    (tmp_path / "config.json").write_text(json.dumps({"training": training, "data": DATA}))
    with pytest.raises(InputError, match=r"config\.json is damaged \('training': .*restore it"):
        RunRecord.read(tmp_path / "config.json")


def test_the_first_difference_is_named():
    assert _record(filters=4).difference(_record(filters=4)) is None
    assert _record(filters=4).difference(_record(filters=6)) == ("filters", 4, 6)
    assert _record().difference(_record({"images": "b"})) == ("images", None, "b")
    versions = _record().model_copy(update={"versions": {"keras": "9"}})
    assert _record().difference(versions) is None


def test_a_run_of_an_earlier_version_agrees_with_what_it_did_not_write():
    now = {"mean": [0.5], "std": [0.2], "stored_values": [{"dtype": "uint8"}]}
    assert agree({"mean": [0.5], "std": [0.2]}, now)
    assert agree(now, now)
    assert not agree({"mean": [0.4], "std": [0.2]}, now)
    assert not agree(now, {"mean": [0.5], "std": [0.2]})


def test_names_that_are_no_utf8_are_kept(tmp_path):
    _record({"images": "a\udcff", "training_names": ["\udcff"]}).write(tmp_path / "config.json")
    assert RunRecord.read(tmp_path / "config.json").data.training_names == ["\udcff"]


def test_runs_of_earlier_versions_told_instances_apart_by_gaps():
    data = {"mask_kind": "instances", "classes": None, "stored_types": [], "normalization": {}}
    earlier = RunRecord(training={"separation": 1}, data=data)
    gaps, distance = (
        RunRecord(training={"separation": 1, "instances": chosen}, data=data)
        for chosen in ("gaps", "distance")
    )
    assert earlier.difference(gaps) is None
    assert earlier.difference(distance) == ("instances", "gaps", "distance")
    assert (earlier.learns_distance, distance.learns_distance) == (False, True)
