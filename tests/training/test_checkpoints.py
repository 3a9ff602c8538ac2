"""What a run continues from: files in step, damaged ones found out, the one before taken."""

import zipfile

import pytest

from keras_unet3p.artifacts import History
from keras_unet3p.training import Checkpoints


@pytest.fixture
def make(tmp_path):
    """A run folder of small archives in the models' place, each holding its epoch as text."""

    def build(dices, epochs, best):
        history = History(tmp_path / "history.csv", "val_dice")
        for epoch, dice in enumerate(dices, start=1):
            history.append({"epoch": epoch, "val_dice": dice})
        for epoch in epochs:
            _archive(tmp_path / f"last-epoch-{epoch:04d}.keras", epoch)
        if best:
            _archive(tmp_path / "best.keras", best)
        return tmp_path

    return build


def _archive(path, epoch):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", str(epoch) * 1000)


def _epoch_in(path):
    with zipfile.ZipFile(path) as archive:
        return int(archive.read("model.weights.h5")[:1])


def _resume(folder):
    said = []
    checkpoints = Checkpoints(folder, report=said.append)
    last = checkpoints.resume()
    return (last and last[0]), [row["epoch"] for row in checkpoints.history.rows], said


def _empty(path):
    path.write_bytes(b"")


def _cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_empty, _cut, _flip])
def test_a_damaged_last_checkpoint_gives_way_to_the_one_before_and_that_is_said(make, damage):
    folder = make([0.5, 0.6, 0.7], [2, 3], best=3)
    damage(folder / "last-epoch-0003.keras")
    epoch, rows, said = _resume(folder)
    assert (epoch, rows) == (2, [1, 2])
    assert len(said) == 1
    assert "last-epoch-0003.keras" in said[0]
    assert "damaged" in said[0]
    assert said[0].endswith("the run continues from epoch 2, last-epoch-0002.keras")
    # The best epoch that is left is the second, whose model is at hand.
    assert _epoch_in(folder / "best.keras") == 2


def test_sound_files_are_continued_without_a_word(make):
    assert _resume(make([0.5, 0.9, 0.7], [2, 3], best=2)) == (3, [1, 2, 3], [])


def test_a_row_that_was_lost_costs_its_epoch_and_no_more(make):
    folder = make([0.5, 0.6, 0.7], [2, 3], best=3)
    lines = (folder / "history.csv").read_text().splitlines(keepends=True)
    (folder / "history.csv").write_text("".join(lines[:-1]))
    epoch, rows, said = _resume(folder)
    assert (epoch, rows) == (2, [1, 2])
    assert "history.csv has no row of its epoch" in said[0]


def test_a_best_model_that_is_damaged_or_missing_is_replaced_and_that_is_said(make):
    folder = make([0.9, 0.6, 0.7], [2, 3], best=1)
    for spoil in (_cut, lambda path: path.unlink()):
        spoil(folder / "best.keras")
        epoch, _, said = _resume(folder)
        assert epoch == 3
        assert len(said) == 1
        assert "best.keras" in said[0]
        assert _epoch_in(folder / "best.keras") == 3


def test_nothing_is_overwritten_where_no_checkpoint_is_sound(make):
    folder = make([0.5, 0.9, 0.6, 0.7], [3, 4], best=2)
    for epoch in (3, 4):
        _cut(folder / f"last-epoch-000{epoch}.keras")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    expected = r"0004\.keras: .*0003\.keras: .*copy best.keras to last-epoch-0002.keras"
    with pytest.raises(ValueError, match=expected):
        _resume(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    # The way out that the message shows is one.
    (folder / "last-epoch-0002.keras").write_bytes(before["best.keras"])
    assert _resume(folder)[:2] == (2, [1, 2])


def test_a_lost_history_does_not_cost_the_best_model(make):
    folder = make([0.5, 0.9, 0.6, 0.7], [3, 4], best=2)
    (folder / "history.csv").unlink()
    with pytest.raises(ValueError, match=r"history\.csv has no row .* from a copy, or start over"):
        _resume(folder)
    assert _epoch_in(folder / "best.keras") == 2


def test_what_a_killed_run_left_half_written_is_removed(make):
    folder = make([0.5], [1], best=1)
    (folder / ".unfinished-x").mkdir()
    (folder / ".unfinished-x" / "last-epoch-0002.keras").write_bytes(b"half")
    _resume(folder)
    assert not (folder / ".unfinished-x").exists()
