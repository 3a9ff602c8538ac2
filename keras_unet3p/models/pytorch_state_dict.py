"""UNet 3+'s weights under the names and in the layout of the authors' released PyTorch code."""

from __future__ import annotations

import keras
import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.models.arguments import level_filters
from keras_unet3p.models.segmentation_model import SegmentationModel

_NORM = (
    ("weight", "gamma"),
    ("bias", "beta"),
    ("running_mean", "moving_mean"),
    ("running_var", "moving_variance"),
)


def pytorch_layer_names(model: SegmentationModel) -> dict[str, str]:
    """Name of every module with weights in the released code -> our layer's name.

    (Before the names here stands the model's `prefix`.)

    | released | here | what |
    |---|---|---|
    | `conv2.conv1.0`, `conv2.conv1.1` | `e2_1_conv`, `e2_1_bn` | encoder stage 2, 1st convolution |
    | `h1_PT_hd4_conv`, `..._bn` | `d4_e1_conv`, `d4_e1_bn` | pooled e1 into d4 |
    | `h4_Cat_hd4_conv` | `d4_e4_conv` | e4 into d4 |
    | `hd5_UT_hd4_conv` | `d4_e5_conv` | upsampled e5 into d4 |
    | `hd4_UT_hd3_conv` | `d3_d4_conv` | upsampled d4 into d3 |
    | `conv4d_1`, `bn4d_1` | `d4_conv`, `d4_bn` | aggregation of d4 |
    | `outconv1`, `outconv2`, `outconv5` | `mask_conv`, `mask_d2_conv`, `mask_e5_conv` | heads |
    | `cls.1` | `presence_conv` | classification-guided module |

    Raises:
        ValueError: the model is not a UNet 3+ with the plain encoder.
    """
    options = model.options if isinstance(model, SegmentationModel) else {}
    if not options or model.architecture != "unet3plus" or options["encoder"] != "plain":
        raise InputError(
            f"model: expected a UNet 3+ with the plain encoder (models.unet3plus), "
            f"found {model.name!r}"
        )
    deepest = len(level_filters(options["filters"], options["depth"]))
    names = {}
    for stage in range(1, deepest + 1):
        for i in (1, 2):
            names[f"conv{stage}.conv{i}.0"] = f"e{stage}_{i}_conv"
            names[f"conv{stage}.conv{i}.1"] = f"e{stage}_{i}_bn"
    for stage in range(deepest - 1, 0, -1):
        for source in range(1, deepest + 1):
            if source < stage:
                theirs = f"h{source}_PT_hd{stage}"
            elif source == stage:
                theirs = f"h{stage}_Cat_hd{stage}"
            else:
                theirs = f"hd{source}_UT_hd{stage}"
            origin = f"e{source}" if source <= stage or source == deepest else f"d{source}"
            names[f"{theirs}_conv"] = f"d{stage}_{origin}_conv"
            names[f"{theirs}_bn"] = f"d{stage}_{origin}_bn"
        names[f"conv{stage}d_1"] = f"d{stage}_conv"
        names[f"bn{stage}d_1"] = f"d{stage}_bn"
    names["outconv1"] = "mask_conv"
    if options["deep_supervision"]:
        names |= {f"outconv{stage}": f"mask_d{stage}_conv" for stage in range(2, deepest)}
        names[f"outconv{deepest}"] = f"mask_e{deepest}_conv"
    if options["classification_guided"]:
        names["cls.1"] = "presence_conv"
    return {theirs: f"{options['prefix']}{ours}" for theirs, ours in names.items()}


def pytorch_state_dict(model: SegmentationModel) -> dict[str, np.ndarray]:
    """The weights of a UNet 3+ as the released PyTorch code names and lays them out.

    Args:
        model: made by `unet3plus` with the plain encoder.

    Returns:
        Name -> array; kernels are (out, in, height, width).

    Raises:
        ValueError: another model.
    """
    state = {}
    for theirs, ours in pytorch_layer_names(model).items():
        layer = model.get_layer(ours)
        if isinstance(layer, keras.layers.BatchNormalization):
            for name, variable in _NORM:
                state[f"{theirs}.{name}"] = np.asarray(getattr(layer, variable))
        else:
            kernel, bias = layer.get_weights()
            state[f"{theirs}.weight"] = kernel.transpose(3, 2, 0, 1)
            state[f"{theirs}.bias"] = bias
    return state
