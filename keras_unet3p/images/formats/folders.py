"""Folders that are one image."""

from __future__ import annotations

import functools
from pathlib import Path

_ZARR = ("zarr.json", ".zgroup", ".zarray")
_DICOM_START = 128
_SERIES = 0x0020000E  # the tag SeriesInstanceUID


def kind_of_folder(path: Path) -> str | None:
    """The module that reads a folder as one image; None where it is a folder of images."""
    if not path.is_dir():
        return None
    if any((path / name).is_file() for name in _ZARR):
        return "ome_zarr"
    first = next(iter(_visible(path)), None)
    if first is not None and _is_dicom(first) and _is_series(path):
        return "dicom"
    return None


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files of a folder, whatever they are called."""
    return [file for file in _visible(folder) if _is_dicom(file)]


def _visible(folder: Path) -> list[Path]:
    files = (file for file in folder.iterdir() if not file.name.startswith("."))
    return sorted(file for file in files if file.is_file() and file.name != "DICOMDIR")


def _is_dicom(file: Path) -> bool:
    if file.suffix.lower() == ".dcm":
        return True
    if file.suffix and not file.suffix[1:].isdigit():  # names like 1.2.840.113 end in a number
        return False
    with file.open("rb") as opened:
        opened.seek(_DICOM_START)
        return opened.read(4) == b"DICM"


def _is_series(folder: Path) -> bool:
    """Whether the files are slices of one series; else each of them is an image by itself."""
    files = dicom_files(folder)
    if any(file.suffix.lower() != ".dcm" for file in files):
        return True  # files without a suffix are not found one by one
    series = {_series_of(file) for file in files[:2]} - {""}
    return len(files) > 1 and len(series) < 2


@functools.lru_cache(maxsize=1024)
def _series_of(file: Path) -> str:
    try:
        import pydicom
    except ModuleNotFoundError:
        return ""  # whoever reads the series says what is missing
    try:
        header = pydicom.dcmread(file, specific_tags=[_SERIES], stop_before_pixels=True)
    except Exception:  # what is wrong with it is told by whoever reads it
        return ""
    return str(header.get("SeriesInstanceUID", ""))
