"""What every test has in common."""

import gc
import os
import shutil
import subprocess

# TensorFlow turns its oneDNN kernels on by itself on some processors only. The tests run with them
# everywhere, as the graphs do on most servers.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import hypothesis
import keras
import pytest

pytest_plugins = ["served_models", "page_browser"]

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)


# Files of few and long tests, and of whole trainings: first, so that no worker is left with one of
# them at the end.
_LONGEST = (
    "test_site_snippets.py",
    "test_readme.py",
    "test_examples.py",
    "test_training.py",
    "test_quick_start.py",
)


def _place(item):
    name = item.path.name
    if name in _LONGEST:
        return _LONGEST.index(name)
    return len(_LONGEST) + (item.path.parent.name != "workflow")


def pytest_collection_modifyitems(items):
    items.sort(key=_place)


def pytest_collection_finish():
    """Spare the collector what stays: TensorFlow's import alone makes half a million objects.

    To look through them again and again takes about a twelfth of a suite that builds graphs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)


@pytest.fixture(autouse=True)
def _seeded():
    """The same initial weights in every run, in whatever order the tests run.

    A network of two filters whose rectified units all happen to be dead passes nothing on; whether
    a test meets one must not be left to chance.
    """
    keras.utils.set_random_seed(0)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 KiB, and a function that gives it another size in KiB.

    Where none can be mounted, by users other than root say, the test is skipped.
    """
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=4k", "tmpfs", folder]
    if (
        shutil.which("mount") is None
        or subprocess.run(["mount", *options], capture_output=True, check=False).returncode
    ):
        pytest.skip("no file system can be mounted here")

    def resize(kib):
        subprocess.run(["mount", "-o", f"remount,size={kib}k", folder], check=True)

    yield folder, resize
    subprocess.run(["umount", "--lazy", folder], check=True)
