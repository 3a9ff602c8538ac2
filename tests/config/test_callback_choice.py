"""Callbacks in the configuration: what is taken, and what is said of the rest."""

import pytest

from keras_unet3p.config import CallbackChoice, TrainingConfig, read_run_file
from keras_unet3p.errors import InputError


def test_paths_and_mappings_are_taken_and_written_as_mappings():
    config = TrainingConfig(
        callbacks=[
            "my_tracking.logger",
            {"name": "keras.callbacks.CSVLogger", "arguments": {"filename": "{run}/a.csv"}},
            {"name": "a.b", "arguments": None},
            CallbackChoice(name="c.d", arguments={"rate": 0.5, "names": ["x"]}),
        ]
    )
    stored = config.to_dict()["callbacks"]
    assert stored == [
        {"name": "my_tracking.logger", "arguments": {}},
        {"name": "keras.callbacks.CSVLogger", "arguments": {"filename": "{run}/a.csv"}},
        {"name": "a.b", "arguments": {}},
        {"name": "c.d", "arguments": {"rate": 0.5, "names": ["x"]}},
    ]
    assert TrainingConfig(callbacks=stored) == config
    assert TrainingConfig().callbacks == []


def test_they_stand_in_a_file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "training:\n"
        "  callbacks:\n"
        "    - name: keras.callbacks.CSVLogger\n"
        "      arguments: {filename: log.csv}\n"
        "    - my_tracking.logger\n"
    )
    chosen = TrainingConfig(**read_run_file(path).training).callbacks
    assert [item.name for item in chosen] == ["keras.callbacks.CSVLogger", "my_tracking.logger"]
    assert chosen[0].arguments == {"filename": "log.csv"}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("keras.callbacks.CSVLogger", "callbacks: expected a list of callbacks"),
        ([3], "callbacks: 3 is no callback; expected its import path, or a mapping of 'name'"),
        ([{"nam": "a.b"}], "callbacks: {'nam': 'a.b'} is no callback"),
        ([{"name": "a.b", "args": {}}], "callbacks: {'name': 'a.b', 'args': {}} is no callback"),
        (["a..b"], r"callbacks: name 'a\.\.b' is no import path"),
        ([{"name": "a-b"}], "callbacks: name 'a-b' is no import path"),
        ([{"name": "a.b", "arguments": [1]}], r"arguments of a.b are \[1\]; expected a mapping"),
        ([{"name": "a.b", "arguments": {"x": {1}}}], "numbers, texts, lists and mappings, which"),
        ([{"name": "a.b", "arguments": {"x": float("nan")}}], "arguments of a.b are"),
    ],
)
def test_others_are_refused(value, problem):
    with pytest.raises(InputError, match=problem):
        TrainingConfig(callbacks=value)
