"""What a network was built as: architecture, options, and where its named tensors are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import keras
import numpy as np

from keras_unet3p import compat


@dataclass(frozen=True)
class Blueprint:
    """What a builder knows of its model, kept with the model and saved with it.

    Attributes:
        architecture: the builder's name, a key of `models.ARCHITECTURES`.
        options: the builder's arguments, of what JSON knows (`plain`).
        features: name of a tensor -> name of the layer that makes it, and which of the layer's
            outputs it is.
    """

    architecture: str
    options: Mapping[str, Any]
    features: Mapping[str, tuple[str, int]]

    def find_features(self, outputs: Sequence[Any]) -> dict[str, Any]:
        """The named tensors of which a model's outputs are made, and the outputs."""
        found = compat.tensors_by_place(outputs)
        return {name: found[place] for name, place in self.features.items() if place in found}

    def get_config(self) -> dict[str, Any]:
        """As `from_config` takes it, of what JSON knows."""
        return {
            "architecture": self.architecture,
            "options": dict(self.options),
            "features": {name: list(place) for name, place in self.features.items()},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Blueprint:
        places = {name: (layer, number) for name, (layer, number) in config["features"].items()}
        return cls(config["architecture"], config["options"], places)


def plain(value: Any) -> Any:
    """A builder's argument made of what JSON knows, which the builder takes too.

    Objects of Keras become their configuration, functions the name that Keras knows them by.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, Sequence):
        return [plain(entry) for entry in value]
    if isinstance(value, FunctionType):
        return keras.saving.get_registered_name(value)
    return keras.saving.serialize_keras_object(value)
