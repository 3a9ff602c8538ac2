"""The local endpoint over exported models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def serve(model: str | os.PathLike[str], **options: Any) -> None:
    """Serve an exported model on this machine until the process is told to stop.

    For development: TensorFlow Serving serves the same folder in production (see `serving/`).

    Args:
        model: folder of the served model, with its version folders inside; its name is the
            model's.
        **options: arguments of `keras_unet3p.endpoint.serve`: host, ports, limits.

    Raises:
        ValueError: the folder holds no version that may be served, or a port cannot be had.
    """
    from keras_unet3p import endpoint

    folder = Path(model).resolve()
    try:
        endpoint.serve({folder.name: folder}, **options)
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
