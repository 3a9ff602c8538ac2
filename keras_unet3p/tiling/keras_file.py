"""Loading of a network from a `.keras` file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from keras_unet3p.artifacts import ModelSource, RunFolder
from keras_unet3p.errors import InputError
from keras_unet3p.files import printable, reason
from keras_unet3p.layers.weight_values import non_finite_weights


def load_network(path: Path) -> Any:
    """Load the model of a `.keras` file without compiling it.

    Raises:
        ValueError: if the file is missing or damaged, or its weights are not finite.
    """
    try:
        network: Any = keras.models.load_model(path, compile=False)
    except (MemoryError, PermissionError):
        raise
    except Exception as error:  # of many kinds: each part of the archive has its own reader
        others = [other for _, other in RunFolder(path.parent).saved() if other != path]
        instead = f"take {printable(others[0])} instead, or " if others else ""
        raise InputError(
            f"{printable(path)} cannot be loaded as a Keras model ({reason(error)}): damaged, "
            f"copied in part, or another program's; {instead}restore it from a copy"
        ) from error
    weights = non_finite_weights(network)
    if weights:
        raise InputError(
            f"{printable(path)}: weights are not finite ({weights}), and neither would be what it "
            "predicts: its training has diverged; train it again with a lower learning rate"
        )
    return network


def load_best(source: ModelSource) -> Any:
    """The model of a `.keras` file, or the best one of a run; not compiled.

    Args:
        source: of kind "keras" or "run".

    Raises:
        ValueError: see `load_network`; or the run's training has not finished its first epoch.
    """
    assert source.file is not None
    if not source.file.is_file():
        raise InputError(
            f"{printable(source.name)} holds no best.keras yet: its training has not finished an "
            "epoch"
        )
    return load_network(source.file)
