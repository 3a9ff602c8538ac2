"""Client of a serving endpoint, and the small local endpoint for development.

Names are imported when they are first used: a client imports no TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

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
_EXTRA = ("grpc", "grpc_health", "requests", "starlette", "tensorflow_serving", "uvicorn")


def __getattr__(name: str):
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_FILES[name]}")
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in _EXTRA:
            raise
        raise ModuleNotFoundError(
            f"keras_unet3p.endpoint.{name} needs the package {missing!r}, which comes with the "
            'extra "serving": pip install "keras_unet3p[serving]"',
            name=error.name,
        ) from error
    value = getattr(module, name)
    # Importing the file `serve` has bound the name to the module; the function is what is meant.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
