"""UNet++ stopped at one of its heads."""

from __future__ import annotations

from keras_unet3p.errors import InputError
from keras_unet3p.models.arguments import level_filters
from keras_unet3p.models.blueprint import Blueprint
from keras_unet3p.models.segmentation_model import SegmentationModel


def prune_unetplusplus(model: SegmentationModel, level: int) -> SegmentationModel:
    """UNet++ L1, L2, ...: the trained network, cut after node X^{0, level} (section 3.2).

    What the head does not need is not in the pruned model: its parameters, its time. The mask is
    the full model's mask at that head. The two models share their weights. With an encoder of
    `keras.applications` the encoder stays whole. The pruned model's `options` are those of the
    network that is left; the sizes that it takes are still the full network's.

    Args:
        model: made by `unetplusplus(..., deep_supervision=True)`.
        level: which head, from 1 (the smallest) to the number of poolings (nothing is cut).

    Returns:
        A model of the same input with one mask; not compiled.

    Raises:
        ValueError: the model has no such head.

    Example:
        >>> from keras_unet3p import models
        >>> model = models.unetplusplus(filters=4, depth=3, deep_supervision=True)
        >>> models.prune_unetplusplus(model, 1).count_params() < model.count_params() / 4
        True
    """
    blueprint = model.blueprint
    heads = {} if blueprint is None else _heads(blueprint)
    if blueprint is None or level not in heads:
        raise InputError(
            f"level: expected one of {[*heads]}, the heads of a UNet++ with deep supervision "
            f"(models.unetplusplus), found {level!r} for model {model.name!r}"
        )
    head = heads[level]
    pruned = SegmentationModel(model.input, model.features[head], name=f"{model.name}_l{level}")
    others = {"mask", *heads.values()}
    options = blueprint.options
    levels = level_filters(options["filters"], options["depth"])[: level + 1]
    pruned.blueprint = Blueprint(
        blueprint.architecture,
        {
            **options,
            "filters": [*levels],
            "depth": level,
            "deep_supervision": False,
            "mode": "fast",
            "head_weights": None,
            "name": pruned.name,
        },
        {
            **{name: at for name, at in blueprint.features.items() if name not in others},
            "mask": blueprint.features[head],
        },
    )
    return pruned


def _heads(blueprint: Blueprint) -> dict[int, str]:
    """Level -> name of the head there."""
    options = blueprint.options
    if blueprint.architecture != "unetplusplus" or not options["deep_supervision"]:
        return {}
    last = len(level_filters(options["filters"], options["depth"])) - 1
    heads = {level: f"mask_{level}" for level in range(1, last + 1)}
    return heads if options["mode"] == "accurate" else {**heads, last: "mask"}
