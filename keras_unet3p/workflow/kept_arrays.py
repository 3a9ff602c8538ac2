"""Arrays that are looked at again and again, in memory or in a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing_extensions import Self


class KeptArrays:
    """Arrays in memory, or in a file beyond 64 MiB.

    The file has no name: a killed process leaves nothing behind.

    Args:
        arrays: of any shape and type; taken one after another.
        folder: where the file lies.
        most_in_memory: bytes from which on they are in a file.

    Example:
        >>> with KeptArrays([np.zeros((2, 3), np.float32), np.arange(4)]) as kept:
        ...     len(kept), kept[1].tolist()
        (2, [0, 1, 2, 3])
    """

    def __init__(
        self,
        arrays: Iterable[np.ndarray],
        folder: str | os.PathLike[str] | None = None,
        *,
        most_in_memory: int = 2**26,
    ) -> None:
        # Closed in __exit__, as the caller's context ends.
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115
            max_size=most_in_memory, dir=None if folder is None else os.fspath(folder)
        )
        self._places: list[tuple[int, tuple[int, ...], np.dtype]] = []
        try:
            for array in arrays:
                self._places.append((self._file.tell(), array.shape, array.dtype))
                self._file.write(np.ascontiguousarray(array).tobytes())
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return len(self._places)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getitem__(self, index: int) -> np.ndarray:
        start, shape, dtype = self._places[index]
        self._file.seek(start)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return np.frombuffer(self._file.read(size), dtype).reshape(shape)
