"""A network read from a `.keras` file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from keras_unet3p.errors import InputError
from keras_unet3p.files import printable, reason
from keras_unet3p.layers.weight_values import non_finite_weights


def load_network(path: Path) -> Any:
    """The model of a `.keras` file, not compiled.

    Raises:
        ValueError: the file is damaged, no such file, or weights in it are not finite.
    """
    try:
        network: Any = keras.models.load_model(path, compile=False)
    except (MemoryError, PermissionError):
        raise
    except Exception as error:  # of many kinds: each part of the archive has its own reader
        others = sorted(other for other in path.parent.glob("last-epoch-*.keras") if other != path)
        instead = f"take {printable(others[-1])} instead, or " if others else ""
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
