"""Averaged weights inside `.keras` files, beside the weights that the training goes on with."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_FOLDER = "averaged_weights/"


def averaged_weights(model: keras.Model) -> list[Any]:
    """The weights of which there are averages: all that are floating, in the model's order."""
    return [weight for weight in model.weights if tf.as_dtype(weight.dtype).is_floating]


def append(values: Sequence[np.ndarray], path: Path) -> None:
    """Add averages to a `.keras` file, in the order of `averaged_weights`. Keras ignores them."""
    with zipfile.ZipFile(path, "a") as archive:
        for number, value in enumerate(values):
            with archive.open(f"{_FOLDER}{number:05d}.npy", "w", force_zip64=True) as part:
                np.lib.format.write_array(part, np.asarray(value), allow_pickle=False)


def read(path: Path) -> list[np.ndarray] | None:
    """The averages in a `.keras` file; None if there are none."""
    with zipfile.ZipFile(path) as archive:
        values = []
        for name in sorted(name for name in archive.namelist() if name.startswith(_FOLDER)):
            with archive.open(name) as part:
                values.append(np.lib.format.read_array(part, allow_pickle=False))
    return values or None


def copy_averaged(source: Path, target: Path) -> None:
    """Write a `.keras` file that has the averages of another one as its weights.

    A file without averages is copied as it is.
    """
    values = read(source)
    if values is None:
        shutil.copyfile(source, target)
        return
    model: Any = keras.models.load_model(source)
    for weight, value in zip(averaged_weights(model), values, strict=True):
        weight.assign(tf.cast(value, weight.dtype))
    model.save(target)
