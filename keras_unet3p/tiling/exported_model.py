"""An exported model, read with TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_unet3p.errors import InputError
from keras_unet3p.files import printable, reason


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
