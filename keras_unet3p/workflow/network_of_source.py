"""The network that a model's name stands for."""

from __future__ import annotations

from typing import Any

from keras_unet3p import models
from keras_unet3p.artifacts import ModelSource
from keras_unet3p.tiling.keras_file import load_best


def network_of(source: ModelSource) -> Any:
    """The network of a run, a `.keras` file, a preset or a cross-validation, not compiled.

    That of a cross-validation averages what the networks of its folds say (`models.ensemble`).

    Raises:
        ValueError: the run's training has not finished an epoch, or a file is damaged.

    Example:
        >>> network_of(ModelSource.of("nuclei")).architecture
        'unet'
    """
    if source.kind == "preset":
        return models.from_preset(source.name)
    if source.kind == "folds":
        return models.ensemble([load_best(ModelSource.of(run.path)) for run in source.members()])
    return load_best(source)
