"""The CSV of a run's metrics."""

import math

from keras_unet3p.training import History


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
    history.keep_until(2)
    assert [row["epoch"] for row in History(tmp_path / "history.csv", "val_dice").rows] == [1, 2]
