"""An error that names the missing extra."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from keras_unet3p.errors import UserError


class MissingExtraError(UserError, ModuleNotFoundError):
    """A package of the extra "annotations" is not installed; the message names the extra."""


@contextlib.contextmanager
def annotations_extra(name: str) -> Iterator[None]:
    """Context in which a missing pycocotools raises an error that says how to get it.

    Args:
        name: the function that needs the package, such as "annotations.read_coco".
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "pycocotools":
            raise
        raise MissingExtraError(
            f"keras_unet3p.{name} needs the package 'pycocotools', which comes with the "
            'extra "annotations": pip install "keras_unet3p[annotations]"',
            name=error.name,
        ) from error
