"""UNet++ stopped at one of its heads."""

from __future__ import annotations

from keras_unet3p.errors import InputError
from keras_unet3p.models.segmentation_model import SegmentationModel


def prune_unet_plus_plus(model: SegmentationModel, level: int) -> SegmentationModel:
    """UNet++ L1, L2, ...: the trained network, cut after node X^{0, level} (section 3.2).

    What the head does not need is not in the pruned model: its parameters, its time. The mask is
    the full model's mask at that head. The two models share their weights. With an encoder of
    `keras.applications` the encoder stays whole.

    Args:
        model: made by `unet_plus_plus(..., deep_supervision=True)`.
        level: which head, from 1 (the smallest) to the number of poolings (nothing is cut).

    Returns:
        A model of the same input with one mask; not compiled.

    Raises:
        ValueError: the model has no such head.
    """
    outputs = model.output if isinstance(model.output, dict) else {}
    heads = {name: tensor for name, tensor in outputs.items() if name.startswith("mask_")}
    last = len(heads) + 1
    if f"mask_{last - 1}_conv" in {layer.name for layer in model.layers}:
        accurate = f"mask_{last}_conv" not in {layer.name for layer in model.layers}
        if accurate:
            last -= 1
        else:
            heads[f"mask_{last}"] = outputs["mask"]
    if f"mask_{level}" not in heads:
        raise InputError(
            f"level: expected one of {sorted(heads)} of a UNet++ with deep supervision, "
            f"found {level!r} for model {model.name!r}"
        )
    return SegmentationModel(model.input, heads[f"mask_{level}"], name=f"{model.name}_l{level}")
