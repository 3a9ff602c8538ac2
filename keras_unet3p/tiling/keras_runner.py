"""Tiles through a Keras model."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import tensorflow as tf

from keras_unet3p.geometry import TileGeometry
from keras_unet3p.graphs.network_geometry import network_facts, network_function
from keras_unet3p.postprocessing.instance_rule import InstanceRule
from keras_unet3p.tiling.tile_choice import model_geometry


class KerasRunner:
    """Tiles through a Keras model, compiled once; see `model_geometry` for the arguments."""

    channels: int | None
    is_raw: bool
    percentiles: tuple[float, float] | None

    def __init__(
        self,
        model: Any,
        tile_size,
        halo,
        blend,
        geometry: TileGeometry | None,
        threshold: float = 0.5,
        rule: InstanceRule | None = None,
        test_time_augmentation: int = 1,
    ) -> None:
        facts = network_facts(model)
        self.geometry = geometry or model_geometry(model, tile_size, halo, blend=blend)
        self.channels = facts.channels
        self.threshold = threshold
        self.rule = rule
        self.test_time_augmentation = test_time_augmentation
        self.multi_label = facts.is_multi_label()
        self.percentiles = facts.percentiles
        # A model that has images stretched says what its values are; others take unit values.
        self.is_raw = facts.is_raw and facts.percentiles is not None
        spec = tf.TensorSpec((None, *self.geometry.tile, self.channels), tf.float32)
        self._run = tf.function(
            network_function(model), input_signature=[spec], jit_compile=False, autograph=False
        )
        digest = hashlib.sha256()
        for weight in model.get_weights():
            digest.update(np.ascontiguousarray(weight).data)
        self.identity = f"weights {digest.hexdigest()}"

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        return self._run(tiles).numpy()
