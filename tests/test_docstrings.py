"""Public classes and functions show an example in their docstrings, and it runs."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import keras_unet3p as ku

ROOMS = ("images", "postprocessing", "data")
MODULES = [
    module.name
    for room in ROOMS
    for module in pkgutil.iter_modules(
        importlib.import_module(f"keras_unet3p.{room}").__path__, f"keras_unet3p.{room}."
    )
]


@pytest.mark.parametrize("room", ROOMS)
def test_what_is_public_has_an_example(room):
    public = {name: getattr(getattr(ku, room), name) for name in getattr(ku, room).__all__}
    shown = {
        name: inspect.getdoc(value) or ""
        for name, value in public.items()
        if inspect.isfunction(value) or (inspect.isclass(value) and value.__module__)
    }
    assert not [name for name, text in shown.items() if ">>> " not in text]


@pytest.mark.parametrize("name", MODULES)
def test_examples_say_what_is_true(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    names = {"ku": ku, "np": np}
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, _ = doctest.testmod(module, extraglobs=names, optionflags=flags)
    assert not failed
