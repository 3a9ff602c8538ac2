"""UNet 3+'s weights as the authors' released PyTorch code names them: written, and loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

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

    Example:
        >>> model = ku.models.unet3plus(filters=4, depth=2)
        >>> state = ku.models.pytorch_state_dict(model)
        >>> state["conv1.conv1.0.weight"].shape
        (4, 1, 3, 3)
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


_EPSILON = 1e-5
"""Batch normalisation's in PyTorch, with which released weights were trained."""


def load_pytorch_state_dict(
    model: SegmentationModel, state_dict: Mapping[str, np.ndarray] | str | PathLike
) -> None:
    """Sets the weights of a UNet 3+ from a state of the authors' PyTorch code.

    All three variants are taken: plain, with deep supervision, with the classification-guided
    module. Nothing is set unless everything fits. `num_batches_tracked` and the prefix `module.`
    of data-parallel training are ignored. See `pytorch_layer_names` for the names.

    Args:
        model: made by `unet3plus` with the plain encoder and the default `batch_norm_epsilon`.
        state_dict: names (`conv1.conv1.0.weight`, ...) -> arrays, or the path of a `.safetensors`
            or `.npz` file of them.

    Raises:
        ValueError: the state does not fit the model; the message names the first key that is
            missing, unknown or of another shape. Or the model, or the kind of file, is another.

    Example:
        >>> trained, model = (ku.models.unet3plus(filters=4, depth=2) for _ in range(2))
        >>> ku.models.load_pytorch_state_dict(model, ku.models.pytorch_state_dict(trained))
    """
    if not isinstance(state_dict, Mapping):
        state_dict = _read(Path(state_dict))
    state = {
        name: np.asarray(array)
        for name, array in state_dict.items()
        if not name.endswith("num_batches_tracked")
    }
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): array for name, array in state.items()}

    expected = pytorch_state_dict(model)
    for name, array in expected.items():
        if name not in state:
            raise InputError(f"state_dict: {name!r} is missing, shape {array.shape} expected")
        if state[name].shape != array.shape:
            raise InputError(
                f"state_dict: {name!r} has shape {state[name].shape}, {array.shape} expected"
            )
    for name in state:
        if name not in expected:
            raise InputError(f"state_dict: {name!r} has no place in model {model.name!r}")

    layers = {theirs: model.get_layer(ours) for theirs, ours in pytorch_layer_names(model).items()}
    for layer in layers.values():
        epsilon = getattr(layer, "epsilon", _EPSILON)
        if not np.isclose(epsilon, _EPSILON, rtol=1e-3):
            raise InputError(
                f"model: layer {layer.name!r} has epsilon {epsilon}, released weights need "
                f"{_EPSILON}; build the model with batch_norm_epsilon={_EPSILON}"
            )
    for theirs, layer in layers.items():
        if isinstance(layer, keras.layers.BatchNormalization):
            names = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([state[f"{theirs}.{name}"].astype(np.float32) for name in names])
        else:
            kernel = state[f"{theirs}.weight"].astype(np.float32).transpose(2, 3, 1, 0)
            layer.set_weights([kernel, state[f"{theirs}.bias"].astype(np.float32)])


def _read(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return dict(arrays)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    raise InputError(f"{path}: expected a .safetensors or .npz file, found {path.suffix!r}")


_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "BF16": "<u2"}


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The format: length of the header (8 bytes), the header (JSON), the arrays."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise InputError(f"{path}: not a safetensors file, or a truncated one")
    try:
        header = json.loads(content[8 : 8 + length])
    except ValueError as error:
        raise InputError(f"{path}: not a safetensors file: {error}") from None
    header.pop("__metadata__", None)
    arrays = {}
    for name, entry in header.items():
        if entry["dtype"] not in _DTYPES:
            raise InputError(f"{path}: {name!r} has type {entry['dtype']}, not one of {[*_DTYPES]}")
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        if end > len(content):
            raise InputError(f"{path}: truncated at {name!r}")
        array = np.frombuffer(content[start:end], _DTYPES[entry["dtype"]])
        if entry["dtype"] == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        arrays[name] = array.reshape(entry["shape"])
    return arrays
