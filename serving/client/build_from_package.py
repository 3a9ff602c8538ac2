"""The build backend of the client's distribution: setuptools, on modules of the package.

The client's code stands once, in `keras_unet3p/`. A build takes the modules below from there and
calls them `unet3p_client`, so that an environment may have both distributions and no file belongs
to two of them. Nothing is written into the tree. A source distribution holds the modules, and is
built as it stands.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from setuptools import build_meta

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parents[1] / "keras_unet3p"
NAME = "unet3p_client"

# Without `__init__.py` of rooms that are not here as a whole: it offers what is not here.
MODULES = (
    "_version.py",
    "client/__init__.py",
    "client/access.py",
    "client/address.py",
    "client/client.py",
    "client/concurrent_tiles.py",
    "client/endpoint_error.py",
    "client/grpc_transport.py",
    "client/messages.py",
    "client/rest_transport.py",
    "client/sent_images.py",
    "client/signature_header.py",
    "client/tensor_types.py",
    "errors.py",
    "files.py",
    "geometry/__init__.py",
    "geometry/network.py",
    "geometry/tiles.py",
    "images/drift.py",
    "images/image_values.py",
    "images/stored_values.py",
    "images/stretching.py",
    "images/unit_values.py",
    "line_journal.py",
    "postprocessing/class_ids.py",
    "postprocessing/instance_rule.py",
    "postprocessing/mask_rule.py",
    "postprocessing/smoothing.py",
    "postprocessing/stitching.py",
    "postprocessing/watershed.py",
    "progress.py",
    "py.typed",
    "tiling/client_runner.py",
    "tiling/run_journal.py",
    "tiling/runners.py",
    "tiling/streaming_predictor.py",
    "tiling/symmetries.py",
    "tiling/tile_runner.py",
)


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None) -> str:
    target = os.path.abspath(wheel_directory)
    with _project():
        return build_meta.build_wheel(target, config_settings)


def build_sdist(sdist_directory, config_settings=None) -> str:
    target = os.path.abspath(sdist_directory)
    with _project():
        return build_meta.build_sdist(target, config_settings)


@contextlib.contextmanager
def _project() -> Iterator[None]:
    """Work in a folder that holds this one and the modules."""
    if (HERE / NAME / "_version.py").exists():  # an unpacked source distribution
        yield
        return
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        _gather(Path(folder))
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def _gather(folder: Path) -> None:
    made = shutil.ignore_patterns("__pycache__", "build", "dist", "*.egg-info")
    shutil.copytree(HERE, folder, ignore=made, dirs_exist_ok=True)
    shutil.copy(HERE.parents[1] / "LICENSE", folder)
    for module in MODULES:
        target = folder / NAME / module
        target.parent.mkdir(exist_ok=True)
        text = (PACKAGE / module).read_text("utf-8")
        target.write_text(re.sub(rf"\b{PACKAGE.name}\b", NAME, text), "utf-8")
    for room in {Path(module).parent for module in MODULES}:
        (folder / NAME / room / "__init__.py").touch()
