"""Tiles through an exported SavedModel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_unet3p.artifacts import ModelCard
from keras_unet3p.artifacts.model_card import CARD_FILE, GRAPH_FILE
from keras_unet3p.errors import InputError
from keras_unet3p.files import printable
from keras_unet3p.geometry import TileGeometry
from keras_unet3p.postprocessing.instance_rule import InstanceRule
from keras_unet3p.tiling.exported_model import load_exported_model


class SavedModelRunner:
    """Tiles through the signature "tile" of a version folder, with the geometry of its card."""

    channels: int | None

    def __init__(self, folder: Path, geometry: TileGeometry | None) -> None:
        card = ModelCard.of_version(folder)
        if card is None:
            raise InputError(
                f"{printable(folder)} has no {CARD_FILE}; expected a model that export_savedmodel "
                "wrote"
            )
        own = card.geometry
        if geometry is not None and geometry.tile != own.tile:
            raise InputError(
                f"geometry must have the model's tile {own.tile}, found {geometry.tile}"
            )
        self.geometry = geometry or own
        self.channels = card.input_channels
        self.test_time_augmentation = card.test_time_augmentation
        self.threshold = 0.5 if card.threshold is None else card.threshold
        chosen = card.rule()
        self.rule = InstanceRule.from_dict(chosen) if InstanceRule.is_in(chosen) else None
        self.multi_label = card.multi_label
        self.is_raw = card.normalization.is_raw
        self.percentiles = card.normalization.percentiles
        self.identity = f"saved_model {card.sha256[GRAPH_FILE]}"
        self._loaded = load_exported_model(folder, "tile")  # must outlive its signatures
        self._run = self._loaded.signatures["tile"]
        (self._input,) = self._run.structured_input_signature[1]

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        return self._run(**{self._input: tf.constant(tiles)})["probabilities"].numpy()
