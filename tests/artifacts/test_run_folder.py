"""The files of a run."""

import pytest

from keras_unet3p.artifacts import RunFolder
from keras_unet3p.errors import InputError


def test_saved_epochs_come_last_first_and_nothing_else_counts(tmp_path):
    run = RunFolder(tmp_path)
    for name in (run.last(9).name, run.last(12345).name, "last-epoch-x.keras", "best.keras"):
        (tmp_path / name).touch()
    assert run.saved() == [(12345, run.last(12345)), (9, run.last(9))]


def test_a_folder_without_configuration_is_no_run(tmp_path):
    assert not RunFolder(tmp_path).is_run
    with pytest.raises(InputError, match=r"is no run folder: it has no config\.json; `train` mak"):
        RunFolder(tmp_path).read_record()


def test_the_history_of_a_run_is_read(tmp_path):
    assert RunFolder(tmp_path).read_history().rows == []
    (tmp_path / "history.csv").write_text("epoch,val_dice\n1,0.5\n2,0.7\n3,0.6\n")
    assert RunFolder(tmp_path).read_history().best() == {"epoch": 2, "val_dice": 0.7}


def test_equal_folders_are_equal(tmp_path):
    assert RunFolder(tmp_path) == RunFolder(str(tmp_path))
