"""A run's choices in a file."""

import json
import re

import pytest

from keras_unet3p.config import read_run_file
from keras_unet3p.errors import InputError


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "run.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def test_yaml_and_json_say_the_same(file):
    choices = {
        "data": {"images": "a", "classes": ["background", "cell"]},
        "training": {"learning_rate": 1e-3, "border_weights": False, "depth": None},
    }
    text = """
        # a comment
        data: {images: a, classes: [background, cell]}
        training:
            learning_rate: 1e-3
            border_weights: no
            depth:
    """
    for content in (text, json.dumps(choices)):
        found = read_run_file(file(content))
        assert {"data": found.data, "training": found.training} == choices


def test_what_a_run_found_is_no_choice(file):
    found = {"num_channels": 1, "normalization": {"mean": [0.5]}, "validation_names": ["a"]}
    content = {"data": {"masks": "m", **found}, "versions": {"keras": "3"}}
    assert read_run_file(file(json.dumps(content))).data == {"masks": "m"}


@pytest.mark.parametrize("content", ["", "training:", "{}"])
def test_an_empty_file_chooses_nothing(file, content):
    found = read_run_file(file(content))
    assert (found.data, found.training) == ({}, {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("training: {filtres: 1}", "run.yaml: training: 'filtres' is no option; did you mean"),
        ("trainin: {filters: 1}", "run.yaml: 'trainin' is no option; did you mean 'training'"),
        ("data: {image: a}", "run.yaml: data: 'image' is no option; did you mean 'images'"),
        ("data: {mask_kind: blobs}", "run.yaml: data: mask_kind must be one of"),
        ("data: {classes: [1, 2]}", "run.yaml: data: classes must be of type int | list[str]"),
        ("training: {filters: '4'}", "run.yaml: training: filters must be a whole number, found"),
        ("training: {filters: 1, filters: 2}", "run.yaml is no YAML: 'filters' is given twice"),
        ("training: [1]", "run.yaml: training: expected a mapping"),
        ("training: {1: 2}", "run.yaml: training: expected a mapping"),
        ("- a", "run.yaml: expected a mapping"),
        ("a: [", "run.yaml is no YAML: "),
        ("? [a]\n: 1", "run.yaml is no YAML: "),
        ("[" * 5000, "run.yaml is no YAML: "),
        (b"\x00", "run.yaml is no YAML: "),
        (b"\xff\xfe\xff", "run.yaml is no YAML: "),
        ("!!python/object/apply:os.getcwd []", "run.yaml is no YAML: "),
    ],
)
def test_what_is_not_acceptable_is_refused_by_name(file, content, message):
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        read_run_file(file(content))
    assert str(raised.value).isprintable()
