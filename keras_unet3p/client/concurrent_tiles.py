"""Sending the tiles of an image in several requests at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_unet3p.errors import InputError


class ConcurrentTiles:
    """Splits a batch of tiles into requests that are sent at the same time.

    As a context manager it ends its threads.

    Args:
        predict_tiles: function that sends the tiles of one request.
        model: name of the model that answers. A journal is continued with the same model only.
        multi_label: whether the classes of a pixel may overlap.
        percentiles: those by which the image is stretched before; None for none.
        concurrency: number of requests sent at the same time.
        tiles_per_request: number of tiles in one request.

    Attributes:
        url: `model`, under the name that the streaming predictor expects.
        multi_label, percentiles: as given.

    Raises:
        ValueError: if a number is less than 1.
    """

    def __init__(
        self,
        predict_tiles: Callable[[np.ndarray], np.ndarray],
        model: str,
        *,
        multi_label: bool,
        percentiles: tuple[float, float] | None = None,
        concurrency: int,
        tiles_per_request: int,
    ):
        for name, value in (("concurrency", concurrency), ("tiles_per_request", tiles_per_request)):
            if value < 1:
                raise InputError(f"{name} must be at least 1, found {value}.")
        self._predict_tiles = predict_tiles
        self._tiles_per_request = tiles_per_request
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="predict-large")
        self.url = model
        self.multi_label = multi_label
        self.percentiles = percentiles

    def predict_tiles(self, tiles: np.ndarray) -> np.ndarray:
        """Returns the results for all tiles, in their order."""
        size = self._tiles_per_request
        parts = [tiles[start : start + size] for start in range(0, len(tiles), size)]
        return np.concatenate(list(self._threads.map(self._predict_tiles, parts)))

    def __enter__(self) -> ConcurrentTiles:
        return self

    def __exit__(self, *_) -> None:
        self._threads.shutdown()
