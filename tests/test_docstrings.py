"""The examples in the docstrings give what they say."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import keras_unet3p

ROOMS = ("artifacts", "workflow")
NAMES = [
    f"keras_unet3p.{room}.{module.name}"
    for room in ROOMS
    for module in pkgutil.iter_modules(
        importlib.import_module(f"{keras_unet3p.__name__}.{room}").__path__
    )
]


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_a_module(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", NAMES)
def test_what_is_public_has_an_example(name):
    module = importlib.import_module(name)
    assert module.__doc__
    for thing, value in vars(module).items():
        own = getattr(value, "__module__", None) == name and not thing.startswith("_")
        if own and (inspect.isclass(value) or inspect.isfunction(value)):
            assert ">>>" in (value.__doc__ or ""), thing


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_has_the_name_of_what_is_in_it(room):
    """So that `import keras_unet3p.workflow.training as t` gives a module."""
    package = importlib.import_module(f"keras_unet3p.{room}")
    for module in pkgutil.iter_modules(package.__path__):
        found = importlib.import_module(f"keras_unet3p.{room}.{module.name}")
        assert getattr(package, module.name) is found
