"""What is to be imported as soon as Keras is, without importing Keras."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterable
from types import ModuleType


def after_keras(package: str, rooms: Iterable[str]) -> None:
    """Import `rooms` of `package` now, where Keras is imported already, or right after it is.

    Nothing is imported where Keras runs on another backend than TensorFlow: the rooms would refuse
    to be, and the program may have come for the client alone.
    """
    names = [f"{package}.{room}" for room in rooms]
    if "keras" in sys.modules:
        _import(names)
    else:
        sys.meta_path.insert(0, _AfterKeras(names))


def _import(names: Iterable[str]) -> None:
    backend = getattr(sys.modules["keras"], "backend", None)
    # Keras itself may be in the middle of its import, by TensorFlow, which comes back to it later.
    if backend is None or backend.backend() != "tensorflow":
        return
    for name in names:
        importlib.import_module(name)


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Finds Keras as the other finders do, and has what follows it imported."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "keras":
            return None
        # Those after this one only: there is a second of its kind where the package was reloaded.
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
