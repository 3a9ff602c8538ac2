"""Whether an image is still the one that it was."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from keras_unet3p.workflow.model_stamp import stamp_of_file

_LABELS = "labels"  # in an OME-Zarr image, no part of its pixels
_METADATA = (".zmetadata", "zarr.json")  # a copy of all others may be in them, the labels' too


def stamp_of_image(path: Path) -> list[int | str]:
    """What changes when a file does, or any of the files of a folder that is one image.

    A folder of a million files takes some seconds. Labels within an OME-Zarr image do not count.

    Example:
        >>> import pathlib
        >>> stamp_of_image(pathlib.Path("a.png"))  # doctest: +SKIP
        [12, 1735689600000000000]
    """
    if not path.is_dir():
        return list(stamp_of_file(path))
    digest, count = hashlib.sha256(), 0
    for folder, folders, files in os.walk(path):
        is_top = Path(folder) == path
        folders[:] = sorted(name for name in folders if not (is_top and name == _LABELS))
        for name in sorted(files):
            if is_top and name in _METADATA:
                marks = [_own_metadata(path / name)]
                if not marks[0]:
                    continue
            else:
                status = os.stat(os.path.join(folder, name))
                where = os.path.relpath(os.path.join(folder, name), path)
                marks = [where, str(status.st_size), str(status.st_mtime_ns)]
            digest.update("\0".join([*marks, ""]).encode("utf-8", "surrogateescape"))
            count += 1
    return [count, digest.hexdigest()]


def _own_metadata(file: Path) -> str:
    """What a Zarr group tells of itself; "" of the copy that is nothing but others' metadata."""
    try:
        told = json.loads(file.read_text("utf-8"))
        told.pop("consolidated_metadata", None)
        return "" if file.name == _METADATA[0] else json.dumps(told, sort_keys=True)
    except (OSError, ValueError, AttributeError):
        return ""
