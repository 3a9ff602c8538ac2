"""The cards of exported models, filled from what is exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p._version import __version__
from keras_unet3p.artifacts import CardTraining, ModelCard
from keras_unet3p.errors import InputError
from keras_unet3p.files import sha256_of
from keras_unet3p.geometry import TileGeometry
from keras_unet3p.layers.intensity_normalization import normalizations


def model_card(
    model: Any,
    geometry: TileGeometry,
    num_classes: int,
    channels: int,
    files: Sequence[Path],
    *,
    classes: Sequence[str] | None = None,
    training_metrics: dict | None = None,
    whole_images: Mapping[str, Any] | None = None,
) -> ModelCard:
    """What a client must know about an exported model.

    Args:
        model: the model that was exported.
        geometry: its tiles; `TileGeometry.from_dict` reads them back from JSON.
        num_classes: channels of its output.
        channels: channels of its input.
        files: exported files, whose SHA-256 goes into the card.
        classes: a name for each class; for a model of one output channel the background's first.
        training_metrics: figures about the training. If they lack the `stored_values` of the
            training images, those of the model's normalisation are used.
        whole_images: for a model that segments whole images, the card's entries from `threshold`
            to `test_time_augmentation`.

    Raises:
        ValueError: if the number of class names or a figure does not fit.

    Example:
        >>> import keras
        >>> from keras_unet3p.geometry import TileGeometry
        >>> image = keras.Input((None, None, 3))
        >>> network = keras.Model(image, keras.layers.Conv2D(1, 1, activation="sigmoid")(image))
        >>> card = model_card(network, TileGeometry((64, 64), halo=8), 1, 3, [])
        >>> card.classes, card.parameters
        (['background', 'foreground'], 4)
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
    figures = {**_stored_values(model), **(training_metrics or {})}
    entries = dict(
        name=getattr(model, "name", "model"),
        classes=list(classes),
        num_classes=num_classes,
        input_channels=channels,
        geometry=geometry,
        **(whole_images or {}),
        parameters=int(sum(np.prod(w.shape) for w in model.trainable_weights)),
        training=CardTraining.of(figures, "training_metrics"),
        versions={
            "keras_unet3p": __version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
        sha256={path.name: sha256_of(path) for path in files},
    )
    return ModelCard.of(entries, "model card")


def _stored_values(model: Any) -> dict[str, Any]:
    for layer in normalizations(model):
        if layer.stored_values:
            return {"stored_values": layer.stored_values}
    return {}
