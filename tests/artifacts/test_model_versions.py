"""The version folders of a served model."""

import pytest

from keras_unet3p.artifacts import model_versions
from keras_unet3p.errors import InputError


@pytest.fixture
def base(tmp_path):
    for name in ("1" + "0" * 23, str(2**63), "0", "-3", "+4", "٥", "1e3", ".9", "007", "7", "12"):
        (tmp_path / name).mkdir()
    (tmp_path / "13").touch()
    return tmp_path


def test_only_what_servers_read_as_a_version_is_one(base):
    folders = model_versions.version_folders(base)
    assert {number: [path.name for path in found] for number, found in folders.items()} == {
        7: ["007", "7"],
        12: ["12"],
    }


def test_the_newest_version_has_a_graph(base):
    assert model_versions.newest_version(base) is None
    for name in ("007", "7"):
        (base / name / "saved_model.pb").touch()
    assert model_versions.newest_version(base) == base / "7"
    assert model_versions.newest_version(base / "007") == base / "007"
    assert model_versions.newest_version(base / "nowhere") is None


def test_a_new_version_is_free(base):
    with pytest.raises(InputError, match=r"version: folder \S*13 exists; expected a number"):
        model_versions.new_version(base)  # the file stands in the way of the next number
    (base / "13").unlink()
    assert model_versions.new_version(base) == base / "13"
    assert model_versions.new_version(base, 3) == base / "3"
    with pytest.raises(InputError, match=r"version: folder \S*12 exists"):
        model_versions.new_version(base, 12)
    (base / "7").rmdir()
    with pytest.raises(InputError, match=r"version: folder \S*007 exists"):
        model_versions.new_version(base, 7)
    with pytest.raises(InputError, match="version must be 1 to"):
        model_versions.new_version(base, 2**63)
