"""Whether a model is still the one that it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from keras_unet3p.artifacts import ModelSource


def stamp_of_file(file: Path) -> list[int]:
    """What changes when a file does.

    Example:
        >>> import pathlib
        >>> stamp_of_file(pathlib.Path("a.txt"))  # doctest: +SKIP
        [12, 1735689600000000000]
    """
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]


def stamp_of_model(model: str | os.PathLike[str]) -> list[Any]:
    """What changes when any file of a model does; of an endpoint its URL. JSON takes it.

    Example:
        >>> stamp_of_model("http://localhost:8501/cells")
        ['http://localhost:8501/cells']
    """
    source = ModelSource.find(model)
    if source is None:
        return [os.fspath(model)]
    files = [] if source.file is None else [source.file]
    if source.version is not None:
        files += [path for path in source.version.rglob("*") if path.is_file()]
    if source.run is not None:
        files.append(source.run.postprocessing)
    for member in source.members():
        files += [member.best, member.postprocessing]
    found = sorted((str(file.resolve()), *stamp_of_file(file)) for file in files if file.is_file())
    return [source.name] if not found else [list(stamp) for stamp in found]
