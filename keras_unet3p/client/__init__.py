"""A client for a serving endpoint. It runs on machines without TensorFlow.

Names are imported when they are first used, so that `EndpointError` alone needs no OpenCV.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_unet3p.client.access import access_of_environment
    from keras_unet3p.client.address import EndpointAddress
    from keras_unet3p.client.client import Client
    from keras_unet3p.client.endpoint_error import EndpointError

__all__ = ["Client", "EndpointAddress", "EndpointError", "access_of_environment"]

_FILES = {
    "Client": "client",
    "EndpointAddress": "address",
    "EndpointError": "endpoint_error",
    "access_of_environment": "access",
}


def __getattr__(name: str):
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
