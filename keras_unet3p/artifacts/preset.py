"""The trained networks that the package brings along."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p.artifacts.run_folder import RunFolder
from keras_unet3p.errors import InputError

_FOLDER = Path(__file__).parents[1] / "presets"


@dataclasses.dataclass(frozen=True)
class Preset:
    """A trained network of the package: a folder with what a run's folder holds, but smaller.

    `config.json` and `postprocessing.json` are those of a run, `network.json` holds the builder and
    its options, `weights.npz` the weights as float16, and `README.md` is the model card.

    Attributes:
        name: by which `models.from_preset` and the commands know it.

    Example:
        >>> Preset.names()
        ['nuclei']
        >>> Preset("nuclei").network()["architecture"]
        'unet'
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in self.names():
            raise InputError(
                f"preset {self.name!r} is unknown; this version has {', '.join(self.names())}"
            )

    @staticmethod
    def names() -> list[str]:
        """Of all presets."""
        return sorted(path.parent.name for path in _FOLDER.glob("*/network.json"))

    @property
    def run(self) -> RunFolder:
        """The folder, which is read as a run's."""
        return RunFolder(_FOLDER / self.name)

    @property
    def weights(self) -> Path:
        """The file of the weights."""
        return self.run.path / "weights.npz"

    @property
    def card(self) -> str:
        """The model card, Markdown: data, licence, figures, and what the network is not for."""
        return (self.run.path / "README.md").read_text(encoding="utf-8")

    def network(self) -> dict[str, Any]:
        """`architecture`, the name of the builder, and `options`, its arguments."""
        return json.loads((self.run.path / "network.json").read_text(encoding="utf-8"))

    def layer_weights(self) -> dict[str, list[np.ndarray]]:
        """Name of a layer -> its weights in Keras's order, float32."""
        found: dict[str, list[np.ndarray]] = {}
        with np.load(self.weights) as arrays:
            for key in sorted(arrays.files, key=_place):
                found.setdefault(_place(key)[0], []).append(arrays[key].astype(np.float32))
        return found

    @staticmethod
    def write_weights(path: Path, layers: Mapping[str, list[np.ndarray]]) -> None:
        """Write a file of weights as float16.

        Raises:
            ValueError: a weight has no place in float16.
        """
        arrays = dict(_as_half(layers))
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def _place(key: str) -> tuple[str, int]:
    layer, _, number = key.rpartition("/")
    return layer, int(number)


def _as_half(layers: Mapping[str, list[np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
    for layer, weights in layers.items():
        for number, values in enumerate(weights):
            if not np.all(np.abs(values) < np.finfo(np.float16).max):
                raise InputError(
                    f"layer {layer!r}: weights beyond float16, found {np.abs(values).max():g}"
                )
            yield f"{layer}/{number}", np.asarray(values, np.float16)
