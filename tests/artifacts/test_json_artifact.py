"""Files of other formats and damaged ones, of every class that has a file."""

import json
import subprocess
import sys

import pytest

from keras_unet3p.artifacts import EvaluationReport, ModelCard, RunRecord
from keras_unet3p.errors import InputError
from keras_unet3p.geometry import TileGeometry

WHOLE = {
    RunRecord: {
        "training": {"separation": 1},
        "data": {"mask_kind": "binary", "classes": None, "stored_types": [], "normalization": {}},
    },
    ModelCard: {
        "input_channels": 1,
        "geometry": TileGeometry((32, 32), halo=8).to_dict(),
        "training": {},
        "sha256": {"cells.onnx": "0"},
    },
    EvaluationReport: {
        "mask_kind": "binary",
        "columns": ["dice"],
        "images": [{"name": "a", "dice": None}],
        "overall": {"dice": 0.5},
    },
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.json"


@pytest.mark.parametrize("kind", WHOLE)
def test_what_is_read_is_written_again_with_what_is_not_known(kind, path):
    content = {**WHOLE[kind], "later": {"name": "\udcff", "list": [1, 2]}}
    path.write_text(json.dumps(content))
    kind.read(path).write(path)
    written = json.loads(path.read_bytes())
    assert next(iter(written)) == "format"
    assert {**written, "format": 1, **content} == written


@pytest.mark.parametrize("kind", WHOLE)
def test_a_newer_format_is_refused_by_number(kind, path):
    path.write_text(json.dumps({**WHOLE[kind], "format": 7}))
    with pytest.raises(InputError, match=r"file\.json is of format 7; accepted is format 1: a new"):
        kind.read(path)


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("number", [0, -1, True, "1", 1.0, None])
def test_a_format_that_is_no_number_is_damage(kind, path, number):
    path.write_text(json.dumps({**WHOLE[kind], "format": number}))
    with pytest.raises(InputError, match=r"file\.json is damaged \(format "):
        kind.read(path)


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b'"text"', b"\xff", b"{}", b"[" * 100_000, b"null"]
)
def test_a_damaged_file_is_named_in_one_line_with_the_way_out(kind, path, content):
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"file\.json is damaged \(.*\); ") as raised:
        kind.read(path)
    assert str(raised.value).endswith(kind.WAY_OUT)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("kind", WHOLE)
def test_every_entry_that_is_missing_is_told(kind, path):
    path.write_text("{}")
    with pytest.raises(InputError) as raised:
        kind.read(path)
    for name in WHOLE[kind]:
        assert f"'{name}'" in str(raised.value)


def test_an_entry_of_another_type_is_told_with_what_was_found(path):
    path.write_text(json.dumps({**WHOLE[ModelCard], "input_channels": "\x1b[31m"}))
    with pytest.raises(InputError, match=r"'input_channels': .*found '\\x1b\[31m'") as raised:
        ModelCard.read(path)
    assert str(raised.value).isprintable()


def test_artifacts_are_frozen():
    report = EvaluationReport(**WHOLE[EvaluationReport])
    with pytest.raises(ValueError, match="frozen"):
        report.mask_kind = "classes"


def test_reading_needs_no_tensorflow():
    code = "import sys, keras_unet3p.artifacts; assert not {'tensorflow', 'keras'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
