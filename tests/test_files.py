"""Atomic writes."""

import errno
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import h5py
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings

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


_KILLED_WHILE_WRITING = """
import os, signal, sys
from keras_unet3p import files
with files.replacing(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_results_folder_loses_what_a_killed_process_left_and_no_other(tmp_path):
    subprocess.run(
        [sys.executable, "-c", _KILLED_WHILE_WRITING, str(tmp_path / "mask.png")], check=False
    )
    (left,) = tmp_path.iterdir()
    with files.replacing(tmp_path / "another.png") as temporary:  # this process lives
        temporary.write_bytes(b"whole")
        files.make_output_folder(tmp_path)
        assert not left.exists()
        assert temporary.exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["another.png"]


def test_a_full_disk_is_an_error_that_names_the_file_and_the_free_space(tmp_path):
    path = tmp_path / "runs" / "best.keras"
    expected = r"no space left to write .*best\.keras: [0-9.]+ MiB are free there"
    with (
        pytest.raises(OSError, match=expected) as raised,
        files.naming_full_disk(tmp_path / "outer"),
        files.replacing(path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert raised.value.errno == errno.ENOSPC
    assert list(path.parent.iterdir()) == []


def _with_h5py(path):
    with h5py.File(path, "w") as file:
        file["weights"] = np.zeros(100_000)


def _with_zipfile(path):
    with zipfile.ZipFile(path, "w") as archive, archive.open("weights", "w") as part:
        part.write(bytes(100_000))


def _with_tensorflow(path):
    tf.io.write_file(path, bytes(100_000))


def _with_an_error_over_it(path):
    try:
        with open(path, "wb") as file:
            file.write(bytes(100_000))
    except OSError:
        raise RuntimeError("could not be closed")  # noqa: B904  # as careless libraries do


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no device that is full")
@pytest.mark.parametrize(
    "write", [_with_h5py, _with_zipfile, _with_tensorflow, _with_an_error_over_it]
)
def test_a_full_disk_is_known_by_the_errors_of_libraries(write):
    expected = r"^\[Errno 28\] no space left to write runs/best\.keras: [0-9.]+ MiB are free there$"
    with pytest.raises(OSError, match=expected), files.naming_full_disk("runs/best.keras"):
        write("/dev/full")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_known_by_the_words_of_the_system(number):
    with pytest.raises(OSError, match="no space left") as raised, files.naming_full_disk("a"):
        raise RuntimeError(f"events.v2; {os.strerror(number)}; flush failed")
    assert raised.value.errno == number


def test_an_archive_is_whole_or_its_damage_is_told(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights", "w" * 1000)
    whole = path.read_bytes()
    assert files.archive_damage(path) is None
    for content, expected in (
        (b"", "0 bytes and is damaged"),
        (whole[:-1], "bytes and is damaged"),
        (whole.replace(b"www", b"wvw", 1), "damaged in its part weights"),
    ):
        path.write_bytes(content)
        assert expected in (files.archive_damage(path) or "whole")


def test_other_errors_of_the_system_pass_a_write_unchanged(tmp_path):
    with pytest.raises(PermissionError, match="no"), files.replacing(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "no")


HOLD = """
import sys
from keras_unet3p import files
with files.locked(sys.argv[1], "the folder"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_refused_while_a_process_holds_it_and_gone_when_that_is_killed(tmp_path):
    lock = tmp_path / "run" / ".lock"
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        expected = rf"^run folder x is in use by process {holder.pid} on \S+; wait"
        with pytest.raises(ValueError, match=expected), files.locked(lock, "run folder x"):
            pass
        holder.kill()
        holder.wait()
    with files.locked(lock, "run folder x"):
        assert lock.exists()
    assert not lock.exists()


def test_foreign_names_are_printed_on_one_line_without_control_characters():
    assert files.printable("cells/ä – 細胞 [a].png") == "cells/ä – 細胞 [a].png"
    assert files.printable("a\x1b[31m\nb\u202egnp\udcff") == "a\\x1b[31m\\nb\\u202egnp\\udcff"


@pytest.mark.parametrize("supported", [True, False])
def test_reserved_space_belongs_to_the_file_and_what_it_holds_stays(
    tmp_path, monkeypatch, supported
):
    if not supported:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    path = tmp_path / "a"
    path.write_bytes(b"head")
    size = 3 * 2**20 + 5
    files.reserve_space(path, size)
    assert path.read_bytes() == b"head" + bytes(size - 4)
    if hasattr(path.stat(), "st_blocks"):
        assert path.stat().st_blocks * 512 >= size


@settings(max_examples=25)
@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=300))
def test_a_cut_name_fits_and_is_a_file(name):
    with tempfile.TemporaryDirectory() as folder:
        fitting = files.fitting_name(folder, name, prefix="0000_", suffix="_000.png")
        (Path(folder) / fitting).write_bytes(b"")
    assert fitting.startswith("0000_")
    assert fitting.endswith("_000.png")
    if len(name.encode()) <= 255 - len("0000__000.png"):
        assert fitting == f"0000_{name}_000.png"


def test_cut_names_differ_where_names_do(tmp_path):
    names = ["n" * 248 + end for end in ("a", "b", "ab")] + ["ä" * 130, "ä" * 131, "\udcff" * 260]
    cut = {files.fitting_name(tmp_path, name, suffix=".png") for name in names}
    assert len(cut) == len(names)
    for name in cut:
        (tmp_path / name).write_bytes(b"")


def test_an_output_folder_is_made_and_what_is_none_is_refused(tmp_path, monkeypatch):
    made = files.make_output_folder(tmp_path / "a" / "b")
    assert made.is_dir()
    assert list(made.iterdir()) == []
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match=r"^out: \S*file\S* is a file, or lies below a file"):
            files.make_output_folder(path)

    def refuse(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(ValueError, match=r"^out: \S*b cannot be written to \(Permission denied\)"):
        files.make_output_folder(made)


def test_a_folder_that_ignores_case_is_told_by_its_behaviour(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"")
    assert files.ignores_case(tmp_path) == (tmp_path / "A").exists()
    monkeypatch.setattr(Path, "exists", lambda path: True)
    assert files.ignores_case(tmp_path)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("one\x1b[2J"), "one\\x1b[2J"),
        (RuntimeError("\n  first\nsecond"), "first"),
        (KeyError(), "KeyError"),
        (PermissionError(errno.EACCES, "Permission denied", "a\nb"), "a\\nb: Permission denied"),
    ],
)
def test_the_reason_of_an_error_is_one_line(error, expected):
    assert files.reason(error) == expected
