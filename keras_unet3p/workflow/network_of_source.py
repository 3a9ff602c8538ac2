"""The network that a model's name stands for."""

from __future__ import annotations

from typing import Any

from keras_unet3p import models
from keras_unet3p.artifacts import ModelSource
from keras_unet3p.tiling.keras_file import load_best


def network_of(source: ModelSource) -> Any:
    """The network of a run, a `.keras` file or a preset, not compiled.

    Raises:
        ValueError: the run's training has not finished an epoch, or the file is damaged.

    Example:
        >>> network_of(ModelSource.of("nuclei")).architecture
        'unet'
    """
    return models.from_preset(source.name) if source.kind == "preset" else load_best(source)
