"""Client of a serving endpoint, and the small local endpoint for development.

Names are imported when they are first used: a client imports no TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from keras_unet3p.endpoint.extra import serving_extra

if TYPE_CHECKING:
    from keras_unet3p.endpoint.client import Client
    from keras_unet3p.endpoint.endpoint_error import EndpointError
    from keras_unet3p.endpoint.local_server import LocalServer
    from keras_unet3p.endpoint.serve import serve

__all__ = ["Client", "EndpointError", "LocalServer", "serve"]

_FILES = {
    "Client": "client",
    "EndpointError": "endpoint_error",
    "LocalServer": "local_server",
    "serve": "serve",
}


def __getattr__(name: str):
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with serving_extra(name):
        module = importlib.import_module(f"{__name__}.{_FILES[name]}")
    value = getattr(module, name)
    # Importing the file `serve` has bound the name to the module; the function is what is meant.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
