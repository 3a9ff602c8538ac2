"""The CSV of a run's metrics."""

import math

import pytest

from keras_unet3p.artifacts import History


def _row(epoch, dice):
    return {"epoch": epoch, "val_dice": dice}


def test_rows_survive_a_restart_exactly(tmp_path):
    history = History(tmp_path / "history.csv", "val_dice")
    history.append({"epoch": 1, "loss": 0.1 + 0.2, "val_dice": 1 / 3})
    history.append({"epoch": 2, "loss": 1e-12, "val_dice": 0.5, "learning_rate": 1e-3})
    again = History(tmp_path / "history.csv", "val_dice")
    assert again.rows == history.rows


def test_best_is_the_earliest_of_the_largest_and_ignores_nan(tmp_path):
    history = History(tmp_path / "history.csv", "val_dice")
    assert history.best() is None
    for epoch, dice in enumerate([0.2, math.nan, 0.9, 0.9, 0.1], start=1):
        history.append(_row(epoch, dice))
    assert history.best()["epoch"] == 3
    assert history.epochs_without_improvement() == 2


def test_epochs_whose_weights_were_lost_are_dropped(tmp_path):
    history = History(tmp_path / "history.csv", "val_dice")
    for epoch in (1, 2, 3):
        history.append(_row(epoch, epoch / 10))
    for last, left in ((2, [1, 2]), (0, [])):
        history.keep_until(last)
        rows = History(tmp_path / "history.csv", "val_dice").rows
        assert [row["epoch"] for row in rows] == left


def test_an_epoch_of_nan_is_not_the_best_however_well_it_scores(tmp_path):
    history = History(tmp_path / "history.csv", "val_dice")
    for epoch, (loss, val_loss, dice) in enumerate(
        [(math.nan, 0.5, 1.0), (0.5, 0.6, 0.4), (0.5, math.inf, 1.0), (0.5, 0.6, math.inf)], 1
    ):
        history.append({"epoch": epoch, "loss": loss, "val_loss": val_loss, "val_dice": dice})
    assert history.best()["epoch"] == 2
    assert history.epochs_without_improvement() == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"epoch,val_dice\n1,0.5\n2,abc\n", r"in line 3 \(could not convert .*'abc'\); .*delete"),
        (b"epoch,val_dice\n1,0.5\n2,0.6", r"in line 3 \(cut off\); restore it"),
        (b"epoch,loss,val_dice\n1,0.5,0.5\n2,0.6\n", r"in line 3 \(2 values, expected 3\)"),
        (b"epoch,val_dice\n1.5,0.5\n", r"in line 2 \(epoch '1.5'\)"),
        (b"epoch,val_dice\n,0.5\n", r"in line 2 \(epoch ''\)"),
        (b"epo", "its first line does not name the columns"),
        (b"loss,val_dice\n0.5,0.5\n", "its first line does not name the columns"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
    ],
)
def test_a_damaged_file_is_named_with_the_way_out(tmp_path, text, message):
    path = tmp_path / "history.csv"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=rf"history\.csv is damaged.*{message}"):
        History(path, "val_dice")


def test_every_cut_of_a_file_is_found_or_leaves_whole_rows(tmp_path):
    path = tmp_path / "history.csv"
    history = History(path, "val_dice")
    for epoch in (1, 2, 3):
        history.append(_row(epoch, epoch / 7))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            rows = History(path, "val_dice").rows
        except ValueError:
            continue
        assert rows == history.rows[: len(rows)]
        assert whole[:length][-1:] in (b"", b"\n")
