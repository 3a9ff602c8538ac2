"""The card that goes with every exported model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p._version import __version__
from keras_unet3p.errors import InputError
from keras_unet3p.geometry import TileGeometry
from keras_unet3p.layers import IntensityNormalization


def model_card(
    model: Any,
    geometry: TileGeometry,
    num_classes: int,
    channels: int,
    files: Sequence[Path],
    *,
    classes: Sequence[str] | None = None,
    training_figures: dict | None = None,
    **more: Any,
) -> dict[str, Any]:
    """What a client must know about an exported model, as JSON-serialisable values.

    Args:
        model: the model that was exported.
        geometry: its tiles; `TileGeometry.from_dict(card["geometry"])` reads them back.
        num_classes: channels of its output.
        channels: channels of its input.
        files: exported files, whose SHA-256 goes into the card.
        classes: a name for each class; for a model of one output channel the background's first.
        training_figures: figures about the training. Where they do not tell the `stored_values` of
            the training images, the model's normalisation does if it knows them.
        **more: further entries.

    Raises:
        ValueError: if the number of class names does not fit.
    """
    expected = 2 if num_classes == 1 else num_classes
    if classes is not None and len(classes) != expected:
        raise InputError(
            f"classes must name {expected} classes (a model of one output channel tells background "
            f"from one class), found {list(classes)}"
        )
    if classes is None:
        named = [f"class {i}" for i in range(num_classes)]
        classes = ["background", "foreground"] if num_classes == 1 else named
    return {
        "format": 1,
        "name": getattr(model, "name", "model"),
        "classes": list(classes),
        "num_classes": num_classes,
        "input_channels": channels,
        "geometry": geometry.to_dict(),
        "tile": list(geometry.tile),
        "halo": geometry.halo,
        "core": list(geometry.core),
        **more,
        "parameters": int(sum(np.prod(w.shape) for w in model.trainable_weights)),
        "training": {**_stored_values(model), **(training_figures or {})},
        "versions": {
            "keras_unet3p": __version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
        "sha256": {path.name: _sha256(path) for path in files},
    }


def _stored_values(model: Any) -> dict[str, Any]:
    for layer in getattr(model, "layers", []):
        if isinstance(layer, IntensityNormalization) and layer.stored_values:
            return {"stored_values": layer.stored_values}
    return {}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
