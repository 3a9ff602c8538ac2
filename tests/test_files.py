"""Atomic writes."""

import pytest

from keras_unet3p import files


def test_an_error_leaves_the_old_file_and_no_leftovers(tmp_path):
    path = tmp_path / "metrics.json"
    files.write_text(path, "old")

    def write_half():
        with files.replacing(path) as temporary:
            temporary.write_text("new")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.json"]


def test_the_temporary_name_keeps_the_suffix_and_folders_are_made(tmp_path):
    path = tmp_path / "deep" / "best.keras"
    with files.replacing(path) as temporary:
        assert temporary.suffix == ".keras"
        temporary.write_bytes(b"weights")
    assert path.read_bytes() == b"weights"


def test_leftovers_of_a_killed_run_are_removed_and_nothing_else(tmp_path):
    kept = tmp_path / "history.csv"
    kept.write_text("epoch\n")
    with files.replacing(tmp_path / "last.keras") as temporary:
        temporary.write_bytes(b"x")
        leftover = temporary.parent
        assert leftover.is_dir()
        files.remove_unfinished(tmp_path)
        assert not leftover.exists()
        leftover.mkdir()
        temporary.write_bytes(b"x")
    assert kept.exists()
