"""A small local server with TensorFlow Serving's API, for development and tests."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from keras_unet3p.errors import needing

if TYPE_CHECKING:
    from keras_unet3p.endpoint.local_server import LocalServer
    from keras_unet3p.endpoint.serving import serve

__all__ = ["LocalServer", "serve"]

_FILES = {"LocalServer": "local_server", "serve": "serving"}


def __getattr__(name: str):
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needing("serving", f"endpoint.{name}"):
        return getattr(importlib.import_module(f"{__name__}.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
