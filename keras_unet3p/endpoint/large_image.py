"""Segmentation of an image of any size over the raw-tile signature of an endpoint."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.tiling.geometry import TileGeometry
from keras_unet3p.tiling.streaming_predictor import StreamingPredictor


def predict_large(
    predict_tiles: Callable[[np.ndarray], np.ndarray],
    model: str,
    image: Any,
    output: Any,
    *,
    geometry: TileGeometry,
    kind: str,
    threshold: float,
    multi_label: bool,
    concurrency: int,
    tiles_per_request: int,
    journal: str | os.PathLike | None,
    progress: bool | Callable[[int, int], None],
) -> Any:
    """Streams the windows of `image` through `predict_tiles`; see `Client.predict_large`.

    `model` says which model answers: a journal is continued with the same one only.
    """
    for name, value in (("concurrency", concurrency), ("tiles_per_request", tiles_per_request)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, found {value}.")
    with ThreadPoolExecutor(concurrency, thread_name_prefix="predict-large") as threads:
        tiles = _ConcurrentTiles(predict_tiles, model, threads, tiles_per_request)
        tiles.multi_label = multi_label
        predictor = StreamingPredictor(
            tiles,
            geometry=geometry,
            tiles_per_step=concurrency * tiles_per_request,
            threshold=threshold,
        )
        return predictor.predict(image, output, kind=kind, journal=journal, progress=progress)


class _ConcurrentTiles:
    """Splits a step's tiles into requests that are under way at the same time."""

    def __init__(
        self,
        predict_tiles: Callable[[np.ndarray], np.ndarray],
        model: str,
        threads: ThreadPoolExecutor,
        tiles_per_request: int,
    ):
        self._predict_tiles = predict_tiles
        self._threads = threads
        self._tiles_per_request = tiles_per_request
        self.url = model
        self.multi_label = False

    def predict_tiles(self, tiles: np.ndarray) -> np.ndarray:
        size = self._tiles_per_request
        parts = [tiles[start : start + size] for start in range(0, len(tiles), size)]
        return np.concatenate(list(self._threads.map(self._predict_tiles, parts)))
