"""Imports that follow the import of Keras, without importing Keras itself."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterable
from types import ModuleType


def after_keras(package: str, rooms: Iterable[str]) -> None:
    """Import `rooms` of `package` now if Keras is already imported, otherwise right after it.

    Nothing is imported if Keras runs on another backend than TensorFlow: the rooms would raise an
    error, and the program may need the client only.
    """
    names = [f"{package}.{room}" for room in rooms]
    if "keras" in sys.modules:
        _import(names)
    else:
        sys.meta_path.insert(0, _AfterKeras(names))


def catch_up(complete: str) -> None:
    """Import the rooms that had to wait for the module `complete`, which calls this at its end."""
    _NEEDED.discard(complete)
    names = _waiting.copy()
    _waiting.clear()
    _import(names)


# The rooms need these. If the first import of Keras is in one of them, the rooms wait for its end.
_NEEDED = {"keras_unet3p.compat", "keras_unet3p.layers"}
_waiting: list[str] = []


def _is_being_imported(name: str) -> bool:
    return getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False)


def _import(names: Iterable[str]) -> None:
    backend = getattr(sys.modules["keras"], "backend", None)
    # TensorFlow may be importing Keras at this moment; then its import is not complete.
    if backend is None or backend.backend() != "tensorflow":
        return
    if any(map(_is_being_imported, _NEEDED)):
        _waiting.extend(names)
        return
    for name in names:
        importlib.import_module(name)


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Finds Keras as the other finders do, and imports the rooms after it."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "keras":
            return None
        # Only the finders after this one: if the package was reloaded, there is another like this.
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            find = getattr(finder, "find_spec", None)
            spec = find(fullname, path, target) if find else None
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    self._follow(spec.loader)
                return spec
        return None

    def _follow(self, loader) -> None:
        run = loader.exec_module

        def run_and_follow(module: ModuleType) -> None:
            run(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
                _import(self._names)

        loader.exec_module = run_and_follow
