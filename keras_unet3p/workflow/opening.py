"""Opening a model: a run, a `.keras` file, a SavedModel, an endpoint or a preset."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_unet3p import tiling
from keras_unet3p.artifacts import ModelCard, ModelSource, PostprocessingRecord, RunRecord
from keras_unet3p.artifacts.model_card import CARD_FILE
from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import InputError
from keras_unet3p.export.saved_model import INSTANCES
from keras_unet3p.graphs.network_geometry import is_multi_label
from keras_unet3p.images import Normalization, StoredValues
from keras_unet3p.images.scaled_view import ScaledView
from keras_unet3p.images.unit_values import as_type, is_narrow, scaled
from keras_unet3p.layers.intensity_normalization import normalizations
from keras_unet3p.postprocessing import InstanceRule, MaskRule, to_class_ids
from keras_unet3p.targets.instances import INSTANCE_MAPS
from keras_unet3p.tiling.exported_model import load_exported_model
from keras_unet3p.workflow.network_of_source import network_of
from keras_unet3p.workflow.predictor import Predictor, unit_values


def open_model(
    model: str | os.PathLike[str],
    *,
    tile_size: int = 512,
    rule: MaskRule | InstanceRule | None = None,
    test_time_augmentation: int | None = None,
) -> Predictor:
    """Load whatever `model` names.

    Args:
        model: a run folder, a `.keras` file, an exported model (its folder or a version folder), or
            the URL of an endpoint, `http://HOST:PORT/MODEL` or `grpc://HOST:PORT/MODEL`; without
            MODEL, the only one that the endpoint serves; of its versions the newest, or that of
            `MODEL/versions/N` or `MODEL/labels/LABEL`; or the name of a preset
            (`models.from_preset`), unless a model's folder is called so; or the folder of a
            cross-validation, whose networks are taken as one.
        tile_size: side of the tiles for runs and `.keras` files; exported models have their own.
        rule: what follows the network of a run or of a `.keras` file; None takes what was chosen on
            the run's validation images, or `MaskRule()` where nothing was; of a network that tells
            instances apart `InstanceRule()`. With an `InstanceRule` a `.keras` file of two classes
            that may overlap is such a network (`targets.instance_maps`). Not for an exported
            model, which has its threshold in its graph, and what else was chosen in its card; and
            not for an endpoint, which does not show its card: of its masks nothing is removed.
        test_time_augmentation: of a run or a `.keras` file: the mean over 2, 4 or 8 mirrored and
            turned versions of each tile, in as many times the time; 1 is none. None takes what was
            chosen with the rule. Exported models and endpoints have their own.

    Raises:
        ValueError: it is none of these, or damaged, or has no use for a rule.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from keras_unet3p import models
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "cells.keras")
        ...     models.unet((None, None, 1), num_classes=1, filters=2, depth=1).save(path)
        ...     predictor = open_model(path, tile_size=32)
        >>> predictor.num_channels, predictor.num_classes
        (1, 1)
        >>> predictor.labels(np.zeros((40, 50, 1), "float32")).shape
        (40, 50)
    """
    source = ModelSource.of(model)
    if rule is not None and source.file is None:
        raise InputError(f"rule: {source}, which has its own threshold; expected a run or its file")
    if test_time_augmentation is not None and source.file is None:
        raise InputError(
            f"test_time_augmentation: {source}, which has its own; expected a run or its file"
        )
    if source.kind == "endpoint":
        return _endpoint(source.name)
    if source.version is not None:
        return _saved_model(source.version)
    # The record first: where it is damaged, nobody waits for the network to be loaded.
    record = source.record()
    chosen = source.postprocessing()
    if rule is None:
        rule = rule_of(chosen, record)
    versions = test_time_augmentation
    if versions is None:
        versions = versions_of(chosen)
    return _keras(network_of(source), tile_size, record, rule, versions)


def rule_of(
    chosen: PostprocessingRecord | None, record: RunRecord | None = None
) -> MaskRule | InstanceRule:
    """What was chosen to follow a network; the default where nothing was.

    Args:
        chosen: what was chosen, if anything was.
        record: of the network's run, if there is one.

    Example:
        >>> rule_of(None)
        MaskRule(threshold=0.5, smallest_object=0, largest_hole=0)
    """
    if chosen is not None:
        return _rule(chosen.rule())
    return InstanceRule() if record is not None and record.learns_distance else MaskRule()


def versions_of(chosen: PostprocessingRecord | None) -> int:
    """How many mirrored and turned versions of a tile were chosen; 1 where nothing was.

    Example:
        >>> versions_of(None)
        1
    """
    return 1 if chosen is None else chosen.test_time_augmentation


def _rule(values: Mapping[str, Any]) -> MaskRule | InstanceRule:
    kind = InstanceRule if InstanceRule.is_in(values) else MaskRule
    return kind.from_dict(values)


def _check_exclusive(name: str, multi_label: bool) -> None:
    if multi_label:
        raise InputError(
            f"{name}: the classes of this model may overlap (a sigmoid each), and a mask in a file "
            "holds one class for each pixel; take tiling.predict_image or "
            "tiling.StreamingPredictor in a script, or the signature 'classes' of the exported "
            "model, which give one map for each class"
        )


def _keras(
    network,
    tile_size: int,
    record: RunRecord | None,
    chosen: MaskRule | InstanceRule,
    versions: int,
) -> Predictor:
    num_classes = getattr(network, "num_classes", None)
    if isinstance(chosen, MaskRule):
        _check_exclusive(network.name, is_multi_label(network, num_classes or 1))
    elif num_classes not in (None, 1, INSTANCE_MAPS):
        raise InputError(
            f"rule: an InstanceRule for a network of {num_classes} classes; expected one of 2 that "
            "may overlap, foreground and core, or of 1"
        )
    if record is None:
        rule = own_normalization(network)
    else:
        rule = Normalization.from_dict(record.data.normalization)

    def predicted(image: np.ndarray, kind: str) -> np.ndarray:
        if rule.value_scale == "raw" or image.dtype not in (np.uint8, np.uint16):
            image = scaled(image, rule.value_scale)
        return tiling.predict_image(
            network,
            image,
            tile_size=tile_size,
            kind=kind,
            threshold=chosen.threshold,
            test_time_augmentation=versions,
        )

    def maps(image: np.ndarray) -> np.ndarray:
        return predicted(image, "probabilities")

    def stream(image: Any, output: Any, kind: str) -> None:
        tiling.StreamingPredictor(
            network,
            tile_size=tile_size,
            threshold=chosen.threshold,
            rule=chosen if isinstance(chosen, InstanceRule) else None,
            test_time_augmentation=versions,
        ).predict(_in_unit_values(image, rule.value_scale), output, kind=kind, progress=False)

    predictor = Predictor(
        lambda image: predicted(image, "classes"),
        network.input_shape[-1],
        rule,
        num_classes,
        rule=chosen,
        probabilities=maps,
        test_time_augmentation=versions,
        averaged=lambda other: _keras(network, tile_size, record, chosen, other),
        stream=stream,
    )
    if isinstance(chosen, MaskRule):
        predictor = dataclasses.replace(
            predictor, labels=lambda image: chosen.cleaned(predicted(image, "classes"))
        )
    else:
        predictor = dataclasses.replace(
            predictor,
            labels=lambda image: to_class_ids(maps(image)[..., :1], chosen.threshold),
            instances=lambda image: chosen.instances(maps(image)),
            num_classes=1,
            mask_kind="instances",
        )
    if record is None:
        return predictor
    return dataclasses.replace(
        predictor,
        mask_kind=record.data.mask_kind,
        class_values=_as_values(record.data.class_values),
        ignore=record.data.ignore,
        separation=record.separation,
        reading=ReadingChoices(**(record.data.reading or {})),
        class_names=tuple(record.data.classes or ()),
    )


def _in_unit_values(image: Any, value_scale: str) -> Any:
    """An image that can be sliced as a streaming predictor takes it."""
    if value_scale == "raw" or is_narrow(np.dtype(image.dtype)):
        return image
    return ScaledView(image, value_scale)


def own_normalization(network) -> Normalization:
    """What a network by itself knows of the images that it was trained on."""
    for layer in normalizations(network):
        if layer.value_scale is not None:
            return Normalization.from_dict(layer.get_config())
    return unit_values(network.input_shape[-1])


def _as_values(stored: list[int] | None) -> tuple[int, ...] | None:
    return tuple(stored) if stored else None


def _saved_model(version: Path) -> Predictor:
    loaded = load_exported_model(version, "classes", "probabilities")
    signature = loaded.signatures["classes"]
    spec = signature.structured_input_signature[1]["image"]

    card = ModelCard.of_version(version)
    tells_apart = INSTANCES in loaded.signatures
    value_scale = "unit" if card is None else card.normalization.value_scale
    rule = _rule_of_card(version, card)

    def labels(image: np.ndarray) -> np.ndarray:
        # The signature takes what the model was exported for: stored integers, or unit values.
        pixels = as_type(image, value_scale, spec.dtype.as_numpy_dtype)
        # The threshold is in the graph.
        ids = signature(image=tf.constant(pixels[None]))["class_ids"].numpy()[0]
        return rule.cleaned(ids) if isinstance(rule, MaskRule) else ids

    labels.owner = loaded  # type: ignore[attr-defined]  # the graph lives as long as its owner

    def instances(image: np.ndarray) -> np.ndarray:
        pixels = as_type(image, value_scale, spec.dtype.as_numpy_dtype)
        found = loaded.signatures[INSTANCES](image=tf.constant(pixels[None]))
        return found["instance_ids"].numpy()[0]

    def stream(image: Any, output: Any, kind: str) -> None:
        tiling.StreamingPredictor(version).predict(
            _in_unit_values(image, value_scale),
            output,
            kind=kind,
            progress=False,
        )

    probabilities = loaded.signatures["probabilities"].structured_outputs["probabilities"]
    _check_exclusive(str(version), len(signature.structured_outputs["class_ids"].shape) == 4)
    channels = spec.shape[-1]
    predictor = Predictor(
        labels,
        channels,
        unit_values(channels),
        1 if tells_apart else probabilities.shape[-1],
        rule=rule,
        instances=instances if tells_apart else None,
        stream=stream,
    )
    if card is None:
        return predictor
    normalization = dataclasses.replace(predictor.normalization, value_scale=value_scale)
    return _as_trained(dataclasses.replace(predictor, normalization=normalization), card)


def _as_trained(predictor: Predictor, card: ModelCard) -> Predictor:
    """With what a model card tells of the images and masks of the training."""
    trained = card.training
    stored = map(StoredValues.from_dict, trained.stored_values or [])
    normalization = dataclasses.replace(predictor.normalization, stored_values=tuple(stored))
    return dataclasses.replace(
        predictor,
        test_time_augmentation=card.test_time_augmentation,
        normalization=normalization,
        mask_kind=trained.mask_kind,
        class_values=_as_values(trained.class_values),
        ignore=trained.ignore,
        reading=ReadingChoices(**(trained.reading or {})),
        class_names=tuple(card.classes or ()),
        separation=predictor.separation if trained.separation is None else trained.separation,
    )


def _rule_of_card(version: Path, card: ModelCard | None) -> MaskRule | InstanceRule:
    if card is None:
        return MaskRule()
    try:
        return _rule(card.rule())
    except (InputError, TypeError) as error:
        raise ModelCard.damaged(version / CARD_FILE, str(error)) from None


def _endpoint(url: str) -> Predictor:
    from keras_unet3p.client import EndpointAddress, access_of_environment

    address = EndpointAddress.of(url)
    client = address.client(**access_of_environment(address.server))
    signatures = client.metadata()["signatures"]
    ids = signatures.get("classes", {}).get("outputs", {}).get("class_ids")
    _check_exclusive(url, ids is not None and len(ids["shape"]) == 4)
    num_channels = _last_dimension(signatures.get("classes", {}).get("inputs", {}))
    num_classes = _last_dimension(signatures.get("probabilities", {}).get("outputs", {}))
    tells_apart = INSTANCES in signatures
    # The local endpoint tells the model card; of another one nothing is known of the training.
    try:
        card = ModelCard.model_validate(client.card())
    except (ValueError, TypeError, KeyError):  # none, or that of another version
        card = None
    of_large = {} if card is None else _of_large(card)

    def sent(image: np.ndarray) -> np.ndarray:
        # Integers that a PNG holds travel as they are; of the others the other side knows no range.
        return image if is_narrow(image.dtype) else scaled(image, "unit")

    predictor = Predictor(
        lambda image: client.predict(sent(image)),
        num_channels,
        unit_values(num_channels),
        1 if tells_apart else num_classes,
        mask_kind="instances" if tells_apart else None,
        instances=(lambda image: client.predict_instances(sent(image))) if tells_apart else None,
        stream=lambda image, output, kind: client.predict_large(
            image, output, kind=kind, **of_large
        ),
    )
    return predictor if card is None else _as_trained(predictor, card)


def _of_large(card: ModelCard) -> dict[str, Any]:
    """What makes the masks of a large image, tile by tile, those that the model gives itself."""
    rule = _rule(card.rule())
    return {
        "geometry": card.geometry,
        "threshold": 0.5 if card.threshold is None else card.threshold,
        "rule": rule if isinstance(rule, InstanceRule) else None,
        "percentiles": card.normalization.percentiles,
        "test_time_augmentation": card.test_time_augmentation,
    }


def _last_dimension(tensors: dict[str, Any]) -> int | None:
    """That of a signature's first input or output; None where it has none or leaves it open."""
    sizes = (tensor["shape"][-1] for tensor in tensors.values() if tensor["shape"])
    size = next(sizes, None)
    return size if size is not None and size > 0 else None
