"""The part that all exports to other runtimes share: the network for one tile, and its card."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from keras_unet3p.artifacts import CardNormalization
from keras_unet3p.errors import InputError
from keras_unet3p.export.cards import model_card
from keras_unet3p.files import locked, naming_full_disk, printable
from keras_unet3p.geometry import TileGeometry
from keras_unet3p.graphs import FrozenNetwork, freeze_network
from keras_unet3p.graphs.network import Network
from keras_unet3p.graphs.network_geometry import network_facts
from keras_unet3p.tiling.tile_choice import model_geometry

OUTPUT = "probabilities"


class TileExport:
    """Freezes `model` for one tile size; `write` puts the converted file and its card in place.

    Args:
        model: a Keras model.
        path: the file to write. It must end with `ending`.
        ending: for example ".onnx".
        tile_size, halo: see `tiling.model_geometry`.
        activation: see `graphs.network_function`.

    Raises:
        ValueError: if the path has another ending or an argument does not fit the model.
    """

    def __init__(self, model: Network, path, ending: str, tile_size, halo, activation) -> None:
        self.path = Path(path)
        if self.path.suffix != ending:
            raise InputError(f"path must end in {ending}, found {self.path}")
        self._model = model
        self.geometry: TileGeometry = model_geometry(model, tile_size, halo)
        self.channels = network_facts(model).channels
        # Other runtimes have slow branches or none, so the gate is a multiplication there.
        self.network: FrozenNetwork = freeze_network(
            model, self.geometry.tile, self.channels, activation=activation, skip_empty=False
        )
        self.network.rename_output(OUTPUT)

    @contextlib.contextmanager
    def working(self) -> Iterator[Path]:
        """A temporary folder for unfinished files, beside the final ones.

        It is removed at the end. If the process is killed, the next export to the same path removes
        it.

        Raises:
            ValueError: if another process exports to the same path.
        """
        name = self.path.name
        with locked(self.path.with_name(f".{name}.lock"), f"exported file {printable(self.path)}"):
            folder = self.path.with_name(f".{name}.unfinished")
            shutil.rmtree(folder, ignore_errors=True)
            with naming_full_disk(self.path):
                try:
                    folder.mkdir()
                    yield folder
                finally:
                    shutil.rmtree(folder, ignore_errors=True)

    def write(self, *files: Path) -> Path:
        """Moves the finished files into place, in this order, and writes the card beside them."""
        final = [self.path.with_name(working.name) for working in files]
        for working, path in zip(files, final, strict=True):
            os.replace(working, path)
        card = model_card(
            self._model,
            self.geometry,
            self.network.num_classes,
            self.channels,
            final,
            whole_images=self._normalization(),
        )
        card.write(self.path.with_suffix(".model_card.json"))
        return self.path

    def _normalization(self) -> dict[str, CardNormalization] | None:
        """What has to be done to a whole image before its tiles go into the network."""
        facts = network_facts(self._model)
        if facts.percentiles is None:
            return None
        rule = CardNormalization(
            value_scale="raw" if facts.is_raw else "unit", percentiles=facts.percentiles
        )
        return {"normalization": rule}


def needs(package: str, purpose: str) -> ImportError:
    """Return the error for a missing optional package."""
    return ImportError(f"{purpose} needs the package {package}: pip install {package}")
