"""The masks of a file's slices, kept until all of them are there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_unet3p.files import locked, printable, remove_unfinished, replacing, write_text

if TYPE_CHECKING:
    from typing_extensions import Self

_ASKED = "asked.json"


class KeptSlices:
    """A folder with a file for each slice that is segmented, by which a killed prediction goes on.

    A file appears when it is complete. As a context it is in use by one process, and stays at the
    end; `remove` deletes it.

    Args:
        folder: it need not be there. One that was made for something else is emptied.
        asked: JSON-serialisable description of what decides the labels: image, model, options.

    Raises:
        ValueError: another process uses the folder.

    Example:
        >>> with KeptSlices(Path("scan.slices"), {"model": "cells"}) as kept:
        ...     kept.keep(3, np.eye(2, dtype=np.uint8))
        >>> with KeptSlices(Path("scan.slices"), {"model": "cells"}) as again:
        ...     has, labels = (3 in again, 4 in again), again.labels(3).tolist()
        ...     again.remove()
        >>> has, labels
        ((True, False), [[1, 0], [0, 1]])
    """

    def __init__(self, folder: Path, asked: dict[str, Any]) -> None:
        self.folder = folder
        self._asked = json.dumps(asked, sort_keys=True)
        lock = folder.with_name(f"{folder.name}.lock")
        self._lock = locked(lock, f"folder {printable(folder)}")

    def __enter__(self) -> Self:
        self._lock.__enter__()
        path = self.folder / _ASKED
        try:
            is_same = path.read_text("utf-8") == self._asked
        except (OSError, UnicodeError):
            is_same = False
        if is_same:
            remove_unfinished(self.folder)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
            write_text(path, self._asked)
        return self

    def __exit__(self, *error: Any) -> None:
        self._lock.__exit__(*error)

    def __contains__(self, number: int) -> bool:
        return self._packed(number).exists() or self.large(number).exists()

    def keep(self, number: int, labels: np.ndarray) -> None:
        """Keep the labels (H, W) of a slice; they are on the disk when this returns."""
        with replacing(self._packed(number), durable=True) as temporary:
            np.savez_compressed(temporary, labels=labels)

    def large(self, number: int) -> Path:
        """The `.npy` file for the labels of a slice that are written window by window."""
        return self.folder / f"{number:06}.npy"

    def labels(self, number: int) -> np.ndarray:
        """The labels of a slice that is kept; those of a large one are mapped from the disk."""
        if self.large(number).exists():
            return np.load(self.large(number), mmap_mode="r")
        with np.load(self._packed(number)) as file:
            return file["labels"]

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _packed(self, number: int) -> Path:
        return self.folder / f"{number:06}.npz"
