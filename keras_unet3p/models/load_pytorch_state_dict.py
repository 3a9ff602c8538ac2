"""Load the UNet 3+ authors' released PyTorch weights, without PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import keras
import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.models.pytorch_state_dict import pytorch_layer_names, pytorch_state_dict
from keras_unet3p.models.segmentation_model import SegmentationModel

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
