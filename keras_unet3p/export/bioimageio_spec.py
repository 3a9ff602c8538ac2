"""The package that describes models for the BioImage Model Zoo, if it is installed."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pydantic

from keras_unet3p.errors import MissingExtraError, needing

# bioimageio.spec before 0.5.14 calls what pydantic 2.13 took away.
_FIRST_FOR_NEW, _FIRST_NEW = (0, 5, 14), (2, 13)


def load_spec() -> Any:
    """The module `bioimageio.spec`, with `model.v0_5`.

    Raises:
        ImportError: it is not installed, or not beside a version of pydantic that it works with.
    """
    with needing("bioimageio", "export.export_bioimageio"):
        spec: Any = importlib.import_module("bioimageio.spec")
        importlib.import_module("bioimageio.spec.model.v0_5")
    if numbers(spec.__version__) < _FIRST_FOR_NEW and numbers(pydantic.VERSION) >= _FIRST_NEW:
        raise MissingExtraError(
            f"bioimageio.spec {spec.__version__} does not work with pydantic {pydantic.VERSION}; "
            'expected a pydantic below 2.13, which the extra "bioimageio" brings: '
            'pip install "keras_unet3p[bioimageio]"'
        )
    return spec


def numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with.

    Example:
        >>> numbers("0.5.12.0"), numbers("2.15.0rc1") < (2, 15, 1)
        ((0, 5, 12, 0), True)
    """
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
