"""Where an exported model lies, and what its card says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CARD_FILE = "assets.extra/model_card.json"


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
