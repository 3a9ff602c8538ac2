"""One interface to everything that segments tiles: Keras model, SavedModel folder, endpoint."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from keras_unet3p.artifacts import ModelCard, ModelSource
from keras_unet3p.artifacts.model_card import CARD_FILE, GRAPH_FILE
from keras_unet3p.errors import InputError
from keras_unet3p.files import printable
from keras_unet3p.geometry import TileGeometry
from keras_unet3p.tiling.exported_model import load_exported_model


class TileRunner(Protocol):
    """What the streaming predictor needs of a model.

    Attributes:
        geometry: the tiles that the model takes.
        channels: number of channels of a tile; None if not known.
        identity: names the model. A run can be continued with the same model only.
        threshold: for one class, a pixel belongs to class 1 if its probability is at least this.
        multi_label: whether the classes may overlap; then the threshold holds for each class.
        is_raw: whether the model takes values as they are stored, instead of unit values.
    """

    geometry: TileGeometry
    channels: int | None
    identity: str
    threshold: float
    multi_label: bool
    is_raw: bool

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        """(n, T, T, C) float32 in unit values -> probabilities (n, T', T', K) float32."""
        ...


def tile_runner(
    model: Any,
    *,
    tile_size: int | tuple[int, int] = 512,
    halo: int | str | None = None,
    blend: int | None = None,
    geometry: TileGeometry | None = None,
) -> TileRunner:
    """Return the runner for `model`.

    Args:
        model: a Keras model; the path of its `.keras` file or of a run folder; the folder of a
            SavedModel that `export_savedmodel` wrote (a version, or the base folder, of which the
            newest version is taken); or any object with a method `predict_tiles(tiles)`, as the
            endpoint's client has.
        tile_size, halo, blend: for a Keras model or its file; see `model_geometry`. A SavedModel
            has its own.
        geometry: replaces the three arguments above. Needed for an object with `predict_tiles`.

    Raises:
        ValueError: if the path is no such model or an endpoint's URL, the file is damaged, or the
            geometry is missing.
    """
    if isinstance(model, (str, os.PathLike)):
        source = ModelSource.of(model)
        if source.kind == "endpoint":
            raise InputError(
                f"{source}; give its client instead, Client(url, model=...), and the geometry"
            )
        if source.version is not None:
            return _SavedModelRunner(source.version, geometry)
        from keras_unet3p.tiling.keras_file import load_best

        model = load_best(source)
    if hasattr(model, "predict_tiles"):
        if geometry is None:
            raise InputError(
                "geometry must be given for a model behind predict_tiles; its model card has it "
                "(TileGeometry.from_dict(card['geometry']))"
            )
        return _ClientRunner(model, geometry)
    return _KerasRunner(model, tile_size, halo, blend, geometry)


class _ClientRunner:
    channels: int | None = None
    threshold = 0.5
    is_raw = False

    def __init__(self, client: Any, geometry: TileGeometry) -> None:
        self._client, self.geometry = client, geometry
        self.multi_label = bool(getattr(client, "multi_label", False))
        self.identity = f"endpoint {getattr(client, 'url', '')}"

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        return np.asarray(self._client.predict_tiles(tiles))


class _KerasRunner:
    channels: int | None
    threshold = 0.5
    is_raw = False

    def __init__(self, model: Any, tile_size, halo, blend, geometry: TileGeometry | None) -> None:
        import tensorflow as tf

        from keras_unet3p.graphs.network_geometry import network_facts, network_function
        from keras_unet3p.tiling.tile_choice import model_geometry

        facts = network_facts(model)
        self.geometry = geometry or model_geometry(model, tile_size, halo, blend=blend)
        self.channels = facts.channels
        self.multi_label = facts.is_multi_label()
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


class _SavedModelRunner:
    channels: int | None

    def __init__(self, folder: Path, geometry: TileGeometry | None) -> None:
        import tensorflow as tf

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
        self.threshold = 0.5 if card.threshold is None else card.threshold
        self.multi_label = card.multi_label
        self.is_raw = card.normalization.is_raw
        self.identity = f"saved_model {card.sha256[GRAPH_FILE]}"
        self._tensor = tf.constant
        self._loaded = load_exported_model(folder, "tile")  # must outlive its signatures
        self._run = self._loaded.signatures["tile"]

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        return self._run(tile=self._tensor(tiles))["probabilities"].numpy()
