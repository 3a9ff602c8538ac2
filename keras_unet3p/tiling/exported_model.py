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


def newest_version(path: Path) -> Path | None:
    """The folder with `saved_model.pb`: `path` or its largest version; None if there is none."""
    if (path / "saved_model.pb").is_file():
        return path
    versions = [entry for entry in path.glob("*/saved_model.pb") if entry.parent.name.isdigit()]
    newest = max(versions, key=lambda entry: int(entry.parent.name), default=None)
    return newest.parent if newest else None


def read_model_card(version: Path) -> dict[str, Any] | None:
    """The card of a version folder; None where it has none (another's export)."""
    card = version / CARD_FILE
    return json.loads(card.read_text(encoding="utf-8")) if card.is_file() else None
