"""What the exports to other runtimes share: the bare network for one tile, and its card."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from keras_unet3p.export.frozen_network import FrozenNetwork, frozen_network
from keras_unet3p.export.model_card import model_card
from keras_unet3p.files import write_json
from keras_unet3p.tiling.geometry import TileGeometry
from keras_unet3p.tiling.network_geometry import input_channels, model_geometry

OUTPUT = "probabilities"


class TileExport:
    """Freezes `model` for one tile size; `write` puts the converted file and its card in place.

    Args:
        model: a Keras model.
        path: the file to write; its ending must be `ending`.
        ending: such as ".onnx".
        tile_size, halo: see `tiling.model_geometry`.
        activation: see `tiling.network_function`.

    Raises:
        ValueError: if the path ends otherwise or an argument does not fit the model.
    """

    def __init__(self, model: Any, path, ending: str, tile_size, halo, activation) -> None:
        self.path = Path(path)
        if self.path.suffix != ending:
            raise ValueError(f"path must end in {ending}, found {self.path}")
        self._model = model
        self.geometry: TileGeometry = model_geometry(model, tile_size, halo)
        self.channels = input_channels(model)
        # Other runtimes have no branches, or slow ones: the gate is a multiplication there.
        self.network: FrozenNetwork = frozen_network(
            model, self.geometry.tile, self.channels, activation=activation, skip_empty=False
        )
        self.network.rename_output(OUTPUT)

    def working(self, name: str) -> Path:
        """A path beside the final one, for a file that is not complete yet."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self.path.with_name(f".{os.getpid()}.{name}")

    def write(self, files: dict[str, Path]) -> Path:
        """Renames complete files (final name -> working path) and writes the card beside them."""
        for name, working in files.items():
            os.replace(working, self.path.with_name(name))
        card = model_card(
            self._model,
            self.geometry,
            self.network.num_classes,
            self.channels,
            [self.path.with_name(name) for name in files],
        )
        card_path = self.path.with_suffix(".model_card.json")
        write_json(card_path, card)
        return self.path


def needs(package: str, purpose: str) -> ImportError:
    """The error to raise where an optional package is missing."""
    return ImportError(f"{purpose} needs the package {package}: pip install {package}")
