"""Requests with their right answers, kept in the version folder of an exported model."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.files import printable, reason

GOLDEN_FILE = "assets.extra/golden_pairs.npz"
"""In a version folder. TensorFlow Serving does not read it."""


@dataclasses.dataclass(frozen=True)
class GoldenPair:
    """A request to a signature, and what it must give.

    Attributes:
        signature: its name.
        input_name, output_name: of the tensors.
        input: an array; encoded images are an array (B,) of `bytes`.
        output: the answer, likewise.

    Example:
        >>> pair = GoldenPair("tile", "inputs", "probabilities", np.zeros(2), np.ones(2))
        >>> pair.output.tolist()
        [1.0, 1.0]
    """

    signature: str
    input_name: str
    output_name: str
    input: np.ndarray
    output: np.ndarray


def write_golden_pairs(path: Path, pairs: Sequence[GoldenPair]) -> None:
    """Write the file of the pairs; `path` is the version folder's `GOLDEN_FILE`."""
    arrays = {}
    for number, pair in enumerate(pairs):
        for side, name in (("input", pair.input_name), ("output", pair.output_name)):
            array = getattr(pair, side)
            if array.dtype != object:
                arrays[f"{number}/{pair.signature}/{side}/{name}"] = array
                continue
            for place, encoded in np.ndenumerate(array):
                where = ",".join(map(str, place))
                key = f"{number}/{pair.signature}/{side}/{name}/{where}"
                arrays[key] = np.frombuffer(encoded, np.uint8)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def read_golden_pairs(version: Path) -> list[GoldenPair]:
    """The pairs of a version folder.

    Raises:
        ValueError: the folder has none, or the file is damaged.

    Example:
        >>> import pathlib, tempfile
        >>> pair = GoldenPair("tile", "inputs", "probabilities", np.zeros(2), np.ones(2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (pathlib.Path(folder) / "assets.extra").mkdir()
        ...     write_golden_pairs(pathlib.Path(folder) / GOLDEN_FILE, [pair])
        ...     read_golden_pairs(pathlib.Path(folder))[0].signature
        'tile'
    """
    path = version / GOLDEN_FILE
    if not path.is_file():
        raise InputError(
            f"{printable(version)} holds no golden pairs ({GOLDEN_FILE}); expected the version "
            "folder of a model that `unet3p export` wrote"
        )
    found: dict[str, dict] = {}
    try:
        with np.load(path) as arrays:
            for key in arrays.files:
                number, signature, side, name, *place = key.split("/")
                pair = found.setdefault(number, {"signature": signature, "encoded": {}})
                pair[f"{side}_name"] = name
                if place:
                    at = tuple(map(int, place[0].split(",")))
                    pair["encoded"].setdefault(side, {})[at] = arrays[key].tobytes()
                else:
                    pair[side] = arrays[key]
        for pair in found.values():
            for side, encoded in pair.pop("encoded").items():
                pair[side] = np.empty([size + 1 for size in max(encoded)], object)
                for at, one in encoded.items():
                    pair[side][at] = one
        return [GoldenPair(**pair) for pair in found.values()]
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(
            f"{printable(path)} is damaged ({reason(error)}): copied in part; copy the version "
            "folder anew, or export the model again"
        ) from None
