"""The lock of a run folder."""

from __future__ import annotations

import contextlib
import os

from keras_unet3p.artifacts import RunFolder
from keras_unet3p.files import locked, printable


def run_lock(folder: str | os.PathLike[str]) -> contextlib.AbstractContextManager[None]:
    """Return the lock of a run folder, a context manager: one training at a time may write there.

    Raises:
        ValueError: on entering, if another process trains in the folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, run_lock(folder):
        ...     pass  # train
    """
    return locked(RunFolder(folder).lock, f"run folder {printable(folder)}")
