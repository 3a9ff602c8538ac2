"""What a training run was asked to do, kept beside its results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keras_unet3p.errors import InputError, printable

# What a run's configuration is read for, by section.
_NEEDED = {
    "training": ("separation",),
    "data": ("mask_kind", "classes", "stored_types", "normalization"),
}


def read_run_config(run: Path) -> dict[str, Any]:
    """The `config.json` of a run folder.

    Raises:
        ValueError: the folder holds none, or it is damaged.
    """
    path = Path(run) / "config.json"
    if not path.is_file():
        raise InputError(
            f"{printable(run)} is no run folder: it has no config.json; `train` makes one"
        )
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:  # no JSON, or no text at all
        raise _damaged(path, str(error)) from None
    for section, names in _NEEDED.items():
        found = config.get(section) if isinstance(config, dict) else None
        missing = [name for name in names if name not in found] if isinstance(found, dict) else "?"
        if missing:
            raise _damaged(path, f"it lacks {section!r} with {', '.join(map(repr, names))}")
    return config


def _damaged(path: Path, what: str) -> InputError:
    return InputError(
        f"{printable(path)} is damaged ({what}); restore it from a copy, or remove it and give "
        "`train` the run's own options again, which it then writes anew"
    )
