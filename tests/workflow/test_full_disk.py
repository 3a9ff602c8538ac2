"""Every command on a full disk: one error, which names the file and the space that is left."""

import pytest

from keras_unet3p import workflow

NAMED = r"no space left to write \S*{}\S*: [0-9.]+ MiB are free there$"


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (
            lambda run, cells, out: workflow.predict(run, cells / "images", out=out),
            r"prediction\.journal",
        ),
        (
            lambda run, cells, out: workflow.evaluate(
                run, cells / "images", cells / "masks", out=out, tile_size=128
            ),
            r"\.png",
        ),
        (lambda run, cells, out: workflow.export(run, out, tile_size=32), "out"),
        (lambda run, cells, out: workflow.quickstart(out), r"\.png"),
        (
            lambda run, cells, out: workflow.train(cells / "images", cells / "masks", out=out),
            "out",
        ),
    ],
    ids=["predict", "evaluate", "export", "quickstart", "train"],
)
def test_a_full_disk_is_named(run, cells, small_disk, command, file):
    disk, _ = small_disk
    (disk / "full").write_bytes(bytes(4096))
    with pytest.raises(OSError, match=NAMED.format(file)):
        command(run, cells, disk / "out")
    assert not [path for path in disk.rglob("*") if path.is_file() and path.name != "full"]
