"""Where what can be made again is kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder for copies of remote images and for what was found out about large sets.

    The environment variable `UNET3P_CACHE` names it; else it is `keras_unet3p` in the user's cache
    folder. It may be deleted at any time.

    Example:
        >>> cache_folder().is_absolute()
        True
    """
    named = os.environ.get("UNET3P_CACHE")
    if named:
        return Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return Path(base or Path.home() / ".cache").absolute() / "keras_unet3p"
