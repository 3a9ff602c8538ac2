"""The examples in the docstrings run, and every public class and function has one.

An example sees what its module sees, and what a reader of it has imported: `np`, `tf`, `keras`, and
the package as `ku`. It runs in an empty folder.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_unet3p

PACKAGE = Path(keras_unet3p.__file__).parent
IMPORTED = {"np": np, "tf": tf, "keras": keras, "ku": keras_unet3p}

# Not for users, or without Python of their own to call.
WITHOUT_EXAMPLES = {"cli", "compat", "__main__"}


def with_examples() -> list[str]:
    """The modules that hold an example."""
    return [
        ".".join([PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts])
        for path in sorted(PACKAGE.rglob("*.py"))
        if ">>> " in path.read_text("utf-8")
    ]


@pytest.mark.parametrize("name", with_examples())
def test_the_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == f"{PACKAGE.name}.napari_plugin.segment_widget":
        pytest.importorskip("napari.qt", reason="no napari with a Qt", exc_type=ImportError)
    module = importlib.import_module(name.removesuffix(".__init__"))
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    examples = doctest.DocTestFinder(exclude_empty=True).find(module)
    assert any(example.examples for example in examples), "an example is in no docstring"
    for example in examples:
        example.globs = {**vars(module), **IMPORTED}
        runner.run(example, out=said.append)
    assert not said, "".join(said)


def rooms() -> list[str]:
    parts = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    files = [path.stem for path in PACKAGE.glob("[!_]*.py")]
    return sorted({*parts, *files} - WITHOUT_EXAMPLES)


def public(room: str) -> Iterator[tuple[str, Any]]:
    """The classes and functions that a room exports; of a room in one file, those it defines."""
    module = importlib.import_module(f"{PACKAGE.name}.{room}")
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]
    for name in getattr(module, "__all__", own):
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isroutine(value):  # of the latter, cached ones too
            yield name, value


def lacking(room: str) -> list[str]:
    """Those without; a class's own docstring counts, not that of the class it comes of."""
    return [name for name, value in public(room) if ">>> " not in (value.__doc__ or "")]


@pytest.mark.parametrize("room", rooms())
def test_every_public_name_has_an_example(room):
    assert not lacking(room)
