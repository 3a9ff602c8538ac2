"""An error that names the missing extra."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from keras_unet3p.errors import UserError

_PACKAGES = (
    "google",
    "grpc",
    "grpc_health",
    "requests",
    "starlette",
    "tensorflow_serving",
    "uvicorn",
)


class MissingExtraError(UserError, ModuleNotFoundError):
    """A package of an extra is not installed; the message names the extra."""


@contextlib.contextmanager
def serving_extra(name: str) -> Iterator[None]:
    """Context in which a missing package of the extra "serving" raises an error that says so.

    Args:
        name: the object that needs the package, such as "client.Client".
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in _PACKAGES:
            raise
        raise MissingExtraError(
            f"keras_unet3p.{name} needs the package {missing!r}, which comes with the "
            'extra "serving": pip install "keras_unet3p[serving]"',
            name=error.name,
        ) from error
