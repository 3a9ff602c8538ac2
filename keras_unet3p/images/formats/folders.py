"""Folders that are one image."""

from __future__ import annotations

from pathlib import Path

_ZARR = ("zarr.json", ".zgroup", ".zarray")


def kind_of_folder(path: Path) -> str | None:
    """The module that reads a folder as one image; None where it is a folder of images."""
    if not path.is_dir():
        return None
    if any((path / name).is_file() for name in _ZARR):
        return "ome_zarr"
    return None
