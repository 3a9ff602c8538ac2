"""Tiles through an endpoint's client."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_unet3p.geometry import TileGeometry
from keras_unet3p.postprocessing.instance_rule import InstanceRule


class ClientRunner:
    """Tiles through an object with `predict_tiles`."""

    channels: int | None = None
    threshold = 0.5
    test_time_augmentation = 1
    rule: InstanceRule | None = None
    is_raw = False
    percentiles: tuple[float, float] | None = None

    def __init__(self, client: Any, geometry: TileGeometry) -> None:
        self._client, self.geometry = client, geometry
        self.multi_label = bool(getattr(client, "multi_label", False))
        self.percentiles = getattr(client, "percentiles", None)
        self.identity = f"endpoint {getattr(client, 'url', '')}"

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        return np.asarray(self._client.predict_tiles(tiles))
