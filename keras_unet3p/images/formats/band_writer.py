"""Windows that come from top to bottom, written in whole rows of chunks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class BandWriter:
    """Takes windows of a plane as an array does, and hands them on in bands of whole chunks.

    A chunk that is written in parts is read, unpacked and packed again for each of them. Windows
    come row by row, each row below the one before, as `tiling.StreamingPredictor` writes them. In
    memory is a band as wide as the plane, as high as a chunk and a row of windows.

    Args:
        write: takes the band's first row and its values (h, width).
        shape: (height, width) of the plane.
        dtype: of what is written.
        step: height of a chunk.

    Example:
        >>> bands = []
        >>> writer = BandWriter(
        ...     lambda top, rows: bands.append((top, len(rows))), (10, 4), np.uint8, 4
        ... )
        >>> writer[0:3, 0:4] = np.ones((3, 4))
        >>> writer[3:9, 0:4] = np.ones((6, 4))
        >>> writer[9:10, 0:4] = np.ones((1, 4))
        >>> writer.finish()
        >>> bands
        [(0, 8), (8, 2)]
    """

    def __init__(
        self,
        write: Callable[[int, np.ndarray], None],
        shape: tuple[int, int],
        dtype: np.dtype | type,
        step: int,
    ) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._write, self._step = write, step
        self._top = self._row = 0
        self._band = np.zeros((0, shape[1]), self.dtype)

    def __setitem__(self, key: tuple[slice, slice], values: np.ndarray) -> None:
        rows, columns = (
            slice(*part.indices(size)) for part, size in zip(key, self.shape, strict=True)
        )
        if rows.start > self._row:
            self._row = rows.start
            self._hand_on((rows.start - self._top) // self._step * self._step)
        missing = rows.stop - self._top - len(self._band)
        if missing > 0:
            more = np.zeros((missing, self.shape[1]), self.dtype)
            self._band = np.concatenate([self._band, more])
        self._band[rows.start - self._top : rows.stop - self._top, columns] = values

    def _hand_on(self, count: int) -> None:
        if count:
            self._write(self._top, self._band[:count])
            self._band = self._band[count:].copy()
            self._top += count

    def finish(self) -> None:
        """Hand on what is left."""
        self._hand_on(len(self._band))
