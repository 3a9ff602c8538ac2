"""Where an exported model lies, and what its card says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
    """The card of a version folder; None where it has none (another's export)."""
    card = version / CARD_FILE
    return json.loads(card.read_text(encoding="utf-8")) if card.is_file() else None
