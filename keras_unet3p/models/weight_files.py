"""The weights of a file and the layers of a model, matched by name.

Keras writes no names: a file holds the weights of the first, second, ... layer of each class. A
network with another number of heads has other numbers, and the weights of one head silently become
another's. So `SegmentationModel` notes its layers' names in the file.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from keras_unet3p.errors import InputError

KEY = "layer_names"
"""The entry among a model's own variables in which the names are kept."""


@dataclass(frozen=True)
class NamedLayer:
    """A layer as a file knows it.

    Attributes:
        group: in the file, below `layers/`.
        identity: its name; what Keras has named itself differs from process to process and goes by
            class and number.
        has_weights: whether it has any.
    """

    group: str
    identity: str
    has_weights: bool


def record(model: Any) -> np.ndarray:
    """The layers' classes and names, for `store[KEY]`: JSON as bytes."""
    rows = [[type(layer).__name__, layer.name, bool(layer.weights)] for layer in model.layers]
    return np.frombuffer(json.dumps(rows).encode(), np.uint8)


def read_record(array: Any) -> list[NamedLayer]:
    """What `record` wrote."""
    layers = []
    groups: Counter[str] = Counter()
    unnamed: Counter[str] = Counter()
    for class_name, name, has_weights in json.loads(np.asarray(array, np.uint8).tobytes()):
        kind = _snake_case(class_name)
        group = f"{kind}_{groups[kind]}" if groups[kind] else kind
        groups[kind] += 1
        identity = name
        if re.fullmatch(rf"{kind}(_\d+)?", name):
            unnamed[kind] += 1
            identity = f"{kind} number {unnamed[kind]}"
        layers.append(NamedLayer(group, identity, has_weights))
    return layers


def check_same(found: Sequence[NamedLayer], expected: Sequence[NamedLayer], model: str) -> None:
    """Raises a ValueError unless the weights of both are in the same order."""
    theirs, ours = (
        [layer.identity for layer in layers if layer.has_weights] for layers in (found, expected)
    )
    if theirs != ours:
        raise InputError(
            f"the file's layers with weights are not those of model {model!r}, or in another "
            f"order: expected {ours}, found {theirs}; model.load_weights(file) finds them by name"
        )


@contextlib.contextmanager
def arranged_for(model: Any, file: Any, *, complete: bool = True) -> Iterator[Any]:
    """The path of a file whose weights Keras gives to the layers of the same name in `model`.

    It is `file` itself where that has the layers in the model's order, or names no layers.

    Args:
        model: a `SegmentationModel`.
        file: `.weights.h5` or `.keras`; others are passed on.
        complete: whether the file has to hold the weights of all layers.

    Raises:
        ValueError: it does not.
    """
    with contextlib.ExitStack() as stack:
        weights: Any = stack.enter_context(_opened(file))
        if weights is None or KEY not in weights.get("vars", ()):
            yield file
            return
        found = {layer.identity: layer for layer in read_record(weights["vars"][KEY])}
        expected = read_record(record(model))
        if [*found] == [layer.identity for layer in expected]:
            yield file
            return
        missing = [x.identity for x in expected if x.has_weights and x.identity not in found]
        if missing and complete:
            raise InputError(
                f"{file}: holds no weights for {_listed(missing)} of model {model.name!r}"
            )
        names = {layer.identity for layer in expected}
        left = [x.identity for x in found.values() if x.has_weights and x.identity not in names]
        if left:
            warnings.warn(
                f"{file}: model {model.name!r} has no {_listed(left)}; their weights are not used",
                stacklevel=4,
            )
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        path = Path(folder) / "arranged.weights.h5"
        with h5py.File(path, "w") as arranged:
            arranged.create_group("vars")[KEY] = record(model)
            arranged.create_group("layers")
            for layer in expected:
                source = found.get(layer.identity)
                if source is not None and f"layers/{source.group}" in weights:
                    weights.copy(f"layers/{source.group}", arranged, f"layers/{layer.group}")
        yield path


@contextlib.contextmanager
def _opened(file: Any) -> Iterator[h5py.File | None]:
    """The weights of a `.weights.h5` or `.keras` file; None of others."""
    if not isinstance(file, (str, os.PathLike)) or not os.path.isfile(file):
        yield None
    elif str(file).endswith(".weights.h5"):
        with h5py.File(file, "r") as weights:
            yield weights
    elif str(file).endswith(".keras") and zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            content = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(content, "r") as weights:
            yield weights
    else:
        yield None


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return f"layers {shown}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _snake_case(class_name: str) -> str:
    """What Keras makes of a class's name for the groups of a file, and for layers without one."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
