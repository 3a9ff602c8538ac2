"""One way to ask for a mask: of a run, a model file, a SavedModel or an endpoint."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p import data, layers, tiling
from keras_unet3p.errors import InputError
from keras_unet3p.files import printable
from keras_unet3p.graphs.network_geometry import is_multi_label
from keras_unet3p.tiling.exported_model import (
    load_exported_model,
    newest_version,
    read_model_card,
)
from keras_unet3p.tiling.keras_file import load_network
from keras_unet3p.workflow.run_config import read_run_config


def unit_values(num_channels: int | None) -> data.Normalization:
    """The rule of a model that does not tell what its training images were like.

    Integers of 8 and 16 bits are divided by their type's maximum, floats must lie within [0, 1].
    """
    channels = num_channels or 1  # where the other side does not say, its images are grey
    return data.Normalization((0.0,) * channels, (1.0,) * channels, "unit")


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A model that segments images of any size.

    Attributes:
        labels: takes an image (H, W, C) in unit values, gives class ids (H, W), uint8.
        num_channels: C, or None where the other side does not say.
        num_classes: of the network, 1 for foreground against background; None where unknown.
        normalization: how stored images become unit values, and what those of the training were
            like; `unit_values` where that is not known.
        mask_kind: of the masks in training, where known.
        class_values: the values in those masks that stand for the classes 0 to K-1; None where they
            are the class ids themselves, or unknown.
        separation: how far apart the masks in training drew touching instances, pixels; see
            `data.separate_instances`.
    """

    labels: Callable[[np.ndarray], np.ndarray]
    num_channels: int | None
    normalization: data.Normalization
    num_classes: int | None = None
    mask_kind: str | None = None
    class_values: tuple[int, ...] | None = None
    separation: int = 1


def load_run(run: str | os.PathLike[str]) -> tuple[keras.Model, dict[str, Any]]:
    """The best model of a run folder, and the run's configuration.

    Raises:
        ValueError: no run folder, one whose training has not finished its first epoch, a damaged
            file, or a best model whose weights are not finite.
    """
    run = Path(run)
    config = read_run_config(run)
    best = run / "best.keras"
    if not best.is_file():
        raise InputError(
            f"{printable(run)} holds no best.keras yet: its training has not finished an epoch"
        )
    return load_network(best), config


def load_predictor(model: str | os.PathLike[str], *, tile_size: int = 512) -> Predictor:
    """Load whatever `model` names.

    Args:
        model: a run folder, a `.keras` file, an exported model (its folder or a version folder), or
            the URL of an endpoint, `http://HOST:PORT/MODEL` or `grpc://HOST:PORT/MODEL`; without
            MODEL, the only one that the endpoint serves.
        tile_size: side of the tiles for runs and `.keras` files; exported models have their own.

    Raises:
        ValueError: it is none of these, or damaged.
    """
    name = str(model)
    if "://" in name:
        return _endpoint(name)
    path = Path(model)
    if path.suffix == ".keras" and path.is_file():
        network = load_network(path)
        of_a_run = (path.parent / "config.json").is_file()
        return _keras(network, tile_size, read_run_config(path.parent) if of_a_run else None)
    if (path / "config.json").is_file():
        network, config = load_run(path)
        return _keras(network, tile_size, config)
    version = newest_version(path)
    if version is not None:
        return _saved_model(version)
    raise InputError(
        f"{printable(name)} is no run folder (config.json), .keras file, exported model "
        "(saved_model.pb) or endpoint URL (http://..., grpc://...)"
    )


def _check_exclusive(name: str, multi_label: bool) -> None:
    if multi_label:
        raise InputError(
            f"{name}: the classes of this model may overlap (a sigmoid each), and a mask in a file "
            "holds one class a pixel; take tiling.predict_image or tiling.StreamingPredictor in a "
            "script, or the signature 'classes' of the exported model, which give a map a class"
        )


def _keras(network, tile_size: int, config: dict[str, Any] | None) -> Predictor:
    def labels(image: np.ndarray) -> np.ndarray:
        return tiling.predict_image(network, image, tile_size=tile_size, kind="classes")

    num_classes = getattr(network, "num_classes", None)
    _check_exclusive(network.name, is_multi_label(network, num_classes or 1))
    channels = network.input_shape[-1]
    predictor = Predictor(labels, channels, _own_normalization(network), num_classes)
    if config is None:
        return predictor
    return dataclasses.replace(
        predictor,
        normalization=data.Normalization.from_dict(config["data"]["normalization"]),
        mask_kind=config["data"]["mask_kind"],
        class_values=_as_values(config["data"].get("class_values")),
        separation=config["training"]["separation"],
    )


def _own_normalization(network) -> data.Normalization:
    """What a network by itself knows of the images that it was trained on."""
    for layer in network.layers:
        if isinstance(layer, layers.IntensityNormalization) and layer.value_scale is not None:
            return data.Normalization.from_dict(layer.get_config())
    return unit_values(network.input_shape[-1])


def _as_values(stored: list[int] | None) -> tuple[int, ...] | None:
    return tuple(stored) if stored else None


def _saved_model(version: Path) -> Predictor:
    loaded = load_exported_model(version, "classes", "probabilities")
    signature = loaded.signatures["classes"]
    spec = signature.structured_input_signature[1]["image"]

    def labels(image: np.ndarray) -> np.ndarray:
        # The signature takes what the model was exported for: stored integers, or unit values.
        if spec.dtype.is_integer:
            image = np.rint(image * spec.dtype.max).astype(spec.dtype.as_numpy_dtype)
        return signature(image=tf.constant(image[None], spec.dtype))["class_ids"].numpy()[0]

    labels.owner = loaded  # type: ignore[attr-defined]  # the graph lives as long as its owner
    probabilities = loaded.signatures["probabilities"].structured_outputs["probabilities"]
    _check_exclusive(str(version), len(signature.structured_outputs["class_ids"].shape) == 4)
    channels = spec.shape[-1]
    predictor = Predictor(labels, channels, unit_values(channels), probabilities.shape[-1])
    card = read_model_card(version)
    if card is None:
        return predictor
    trained = card["training"]
    stored = map(data.StoredValues.from_dict, trained.get("stored_values", []))
    rule = dataclasses.replace(
        predictor.normalization,
        value_scale=card["normalization"]["value_scale"],
        stored_values=tuple(stored),
    )
    return dataclasses.replace(
        predictor,
        normalization=rule,
        mask_kind=trained.get("mask_kind"),
        class_values=_as_values(trained.get("class_values")),
        separation=trained.get("separation", predictor.separation),
    )


def _endpoint(url: str) -> Predictor:
    from keras_unet3p.client import Client

    parts = urlsplit(url)
    client = Client(f"{parts.scheme}://{parts.netloc}", model=parts.path.strip("/") or None)

    signatures = client.metadata()["signatures"]
    ids = signatures.get("classes", {}).get("outputs", {}).get("class_ids")
    _check_exclusive(url, ids is not None and len(ids["shape"]) == 4)
    num_channels = _last_dimension(signatures.get("classes", {}).get("inputs", {}))
    num_classes = _last_dimension(signatures.get("probabilities", {}).get("outputs", {}))
    return Predictor(client.predict, num_channels, unit_values(num_channels), num_classes)


def _last_dimension(tensors: dict[str, Any]) -> int | None:
    """That of a signature's first input or output; None where it has none or leaves it open."""
    sizes = (tensor["shape"][-1] for tensor in tensors.values() if tensor["shape"])
    size = next(sizes, None)
    return size if size is not None and size > 0 else None
