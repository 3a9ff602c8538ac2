"""Where an exported model lies, and what its card says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keras_unet3p.errors import InputError
from keras_unet3p.files import printable, reason
from keras_unet3p.geometry import TileGeometry

CARD_FILE = "assets.extra/model_card.json"


LARGEST_VERSION = 2**63 - 1
"""The largest number that a server reads as a version."""


def version_number(name: str) -> int | None:
    """The version that a folder of this name holds; None where it is no name of a version."""
    if not (name.isascii() and name.isdigit()):
        return None
    number = int(name)
    return number if 1 <= number <= LARGEST_VERSION else None


def version_folders(base: Path) -> dict[int, Path]:
    """The version folders of a served model by number; of `007` and `7` the second."""
    found = {}
    for entry in sorted(base.iterdir(), key=lambda entry: -len(entry.name)):
        number = version_number(entry.name)
        if number is not None and entry.is_dir():
            found[number] = entry
    return found


def newest_version(path: Path) -> Path | None:
    """The folder with `saved_model.pb`: `path` or its largest version; None if there is none."""
    if (path / "saved_model.pb").is_file():
        return path
    folders = version_folders(path) if path.is_dir() else {}
    written = [number for number, entry in folders.items() if (entry / "saved_model.pb").is_file()]
    return folders[max(written)] if written else None


def read_model_card(version: Path) -> dict[str, Any] | None:
    """The card of a version folder; None where it has none (another's export).

    Raises:
        ValueError: the card is damaged.
    """
    path = version / CARD_FILE
    if not path.is_file():
        return None
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        TileGeometry.from_dict(card["geometry"])
        _ = card["normalization"]["value_scale"], card["sha256"]["saved_model.pb"]
        _ = card["input_channels"], card["threshold"], card["training"].get("mask_kind")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{printable(path)} is damaged ({type(error).__name__}: {reason(error)}); export the "
            "model again, or copy the folder anew"
        ) from error
    return card


def load_exported_model(version: Path, *signatures: str) -> Any:
    """Load a version folder, which must have these signatures.

    Raises:
        ValueError: it is damaged, or lacks one of them.
    """
    import tensorflow as tf

    try:
        loaded: Any = tf.saved_model.load(str(version))
    except (MemoryError, PermissionError):
        raise
    except Exception as error:  # of many kinds: each reader of its parts has its own
        raise InputError(
            f"{printable(version)} cannot be loaded as a SavedModel ({reason(error)}): damaged or "
            "copied in part; export the model again, or copy the folder anew"
        ) from error
    for name in signatures:
        if name not in loaded.signatures:
            raise InputError(
                f"{printable(version)} has no signature {name!r}, only {sorted(loaded.signatures)};"
                " expected a model that export_savedmodel wrote"
            )
    return loaded
