"""One interface to whatever segments tiles: a Keras model, a SavedModel folder, an endpoint."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.files import printable
from keras_unet3p.geometry import TileGeometry
from keras_unet3p.tiling.exported_model import (
    CARD_FILE,
    load_exported_model,
    newest_version,
    read_model_card,
)


class TileRunner(Protocol):
    """What the streaming predictor needs of a model.

    Attributes:
        geometry: the tiles that the model takes.
        channels: channels of a tile; None if not known.
        identity: says which model this is; a run is continued with the same one only.
        threshold: with one class, a pixel is of class 1 from this probability on.
        multi_label: the classes may overlap; each is decided by the threshold.
        is_raw: the model takes values as they are stored, not unit values.
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
    """The runner for `model`.

    Args:
        model: a Keras model; the path of its `.keras` file; the folder of a SavedModel that
            `export_savedmodel` wrote (a version, or the base folder, of which the newest version is
            taken); or any object with a method `predict_tiles(tiles)`, as the endpoint's client
            has.
        tile_size, halo, blend: for a Keras model or its file; see `model_geometry`. A SavedModel
            brings its own.
        geometry: replaces these; needed for an object with `predict_tiles`.

    Raises:
        ValueError: if the folder holds no such model, the file is damaged, or the geometry is
            missing.
    """
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        if path.suffix != ".keras" or path.is_dir():
            return _SavedModelRunner(path, geometry)
        from keras_unet3p.tiling.keras_file import load_network

        model = load_network(path)
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

        folder = newest_version(folder) or folder
        card = read_model_card(folder)
        if card is None:
            raise InputError(
                f"{printable(folder)} must be a .keras file, or a folder that export_savedmodel "
                f"wrote (SavedModel with {CARD_FILE}), found none there"
            )
        own = TileGeometry.from_dict(card["geometry"])
        if geometry is not None and geometry.tile != own.tile:
            raise InputError(
                f"geometry must have the model's tile {own.tile}, found {geometry.tile}"
            )
        self.geometry = geometry or own
        self.channels = card["input_channels"]
        self.threshold = 0.5 if card["threshold"] is None else float(card["threshold"])
        self.multi_label = card.get("multi_label", False)
        self.is_raw = card["normalization"]["value_scale"] == "raw"
        self.identity = f"saved_model {card['sha256']['saved_model.pb']}"
        self._tensor = tf.constant
        self._loaded = load_exported_model(folder, "tile")  # must outlive its signatures
        self._run = self._loaded.signatures["tile"]

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        return self._run(tile=self._tensor(tiles))["probabilities"].numpy()
