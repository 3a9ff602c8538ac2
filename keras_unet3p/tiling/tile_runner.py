"""One interface to everything that segments tiles: Keras model, SavedModel folder, endpoint."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from keras_unet3p.geometry import TileGeometry
from keras_unet3p.postprocessing.instance_rule import InstanceRule


class TileRunner(Protocol):
    """What the streaming predictor needs of a model.

    Attributes:
        geometry: the tiles that the model takes.
        channels: number of channels of a tile; None if not known.
        identity: names the model. A run can be continued with the same model only.
        threshold: for one class, a pixel belongs to class 1 if its probability is at least this.
        test_time_augmentation: the mirrored and turned versions of a tile of which the model's own
            masks are the mean; `__call__` gives that of the tile alone.
        rule: what makes instances of the tiles' maps; None where that is not known.
        multi_label: whether the classes may overlap; then the threshold holds for each class.
        is_raw: whether the model takes values as they are stored, instead of unit values.
        percentiles: those of the whole image by which its values are stretched before they are cut
            into tiles; None if they are not.
    """

    geometry: TileGeometry
    channels: int | None
    identity: str
    threshold: float
    test_time_augmentation: int
    rule: InstanceRule | None
    multi_label: bool
    is_raw: bool
    percentiles: tuple[float, float] | None

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        """(n, T, T, C) float32 in unit values -> probabilities (n, T', T', K) float32."""
        ...
