"""NIfTI volumes, slice by slice; masks with the affine and the header of their image."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import InputError, needing
from keras_unet3p.files import printable, replacing
from keras_unet3p.images.decoding import errors_name
from keras_unet3p.images.limits import Limits
from keras_unet3p.images.plane import Plane
from keras_unet3p.images.volume import Volume, VolumeLabels, volume_planes

_MILLIMETRES = {"mm": 1.0, "micron": 1e-3, "meter": 1e3}


def _library() -> Any:
    with needing("medical", "images.formats.nifti"):
        return importlib.import_module("nibabel")


class _Nifti(Volume):
    """A NIfTI file; one that is not compressed is read in parts."""

    def __init__(self, path: Path) -> None:
        nibabel = _library()
        self.path = path
        with errors_name(path):
            image = nibabel.load(path)
            self._values = image.dataobj
            axes = len(image.shape)
            if axes > 4 and set(image.shape[4:]) == {1}:
                axes = 4
            if axes not in (3, 4) or 0 in image.shape:
                raise InputError(
                    f"{printable(path)}: a volume of {' x '.join(map(str, image.shape))}; expected "
                    "three axes of space, and time behind them, if at all"
                )
            self._extra = len(image.shape) - axes
            self.shape, self.names = tuple(image.shape[:axes]), "xyzt"[:axes]
            self.directions = "".join(nibabel.aff2axcodes(image.affine))
            unit = _MILLIMETRES.get(image.header.get_xyzt_units()[0])
            if unit is not None:
                self.spacing = tuple(float(zoom) * unit for zoom in image.header.get_zooms()[:3])
            self._rescaled = (self._values.slope, self._values.inter) != (1, 0)
            stored = np.dtype(image.get_data_dtype()).newbyteorder("=")
            if stored.names is not None:
                raise InputError(f"{printable(path)}: values of type {stored}; expected numbers")
            self.dtype = np.dtype(np.float32) if self._rescaled else stored
            self._is_packed = path.suffix.lower() == ".gz"

    def read(self, key: tuple[int | slice, ...]) -> np.ndarray:
        key = (*key, *[0] * self._extra)
        with errors_name(self.path):
            if self._is_packed:
                status = self.path.stat()
                values = _unpacked(self.path, status.st_mtime_ns, status.st_size)[key]
            else:
                values = np.asanyarray(self._values[key])
        return values.astype(self.dtype, copy=False)


@functools.lru_cache(maxsize=2)
def _unpacked(path: Path, *stamp: int) -> np.ndarray:
    """All values of a compressed file, which can be read from its beginning only."""
    image = _library().load(path)
    plain = (image.dataobj.slope, image.dataobj.inter) == (1, 0)
    kind = np.dtype(image.get_data_dtype()) if plain else np.dtype(np.float32)
    return np.asanyarray(image.dataobj).astype(kind, copy=False)


def planes(
    path: Path, reading: ReadingChoices, limits: Limits, *, labels: bool = False
) -> list[Plane]:
    """The slices of a NIfTI volume, of each point in time one after the other.

    A compressed file is in memory as a whole while its slices are read; the last two are kept.

    Args:
        path: the file.
        reading: along which axis it is cut.
        limits: of the number of slices.
        labels: without effect.

    Raises:
        ValueError: the file is damaged, or no volume.
    """
    del labels
    return volume_planes(_Nifti(path), reading, limits)


@contextlib.contextmanager
def label_file(
    path: Path,
    target: Path,
    reading: ReadingChoices,
    dtype: np.dtype,
    class_names: Sequence[str] = (),
) -> Iterator[VolumeLabels]:
    """Context that writes the labels of a volume with its affine and its header.

    Args:
        path: the image.
        target: the file of the labels.
        reading: with which the image was read.
        dtype: of the labels; NIfTI has few that every program reads, and ids become int32.
        class_names: without effect; such files have no place for them.
    """
    del class_names
    nibabel = _library()
    kind = np.dtype(np.uint8) if np.dtype(dtype) == np.uint8 else np.dtype(np.int32)
    labels = VolumeLabels(_Nifti(path), reading, kind)
    yield labels
    image = nibabel.load(path)
    header = image.header.copy()
    header.set_data_dtype(kind)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = 0  # the image's grey values for display
    with replacing(target) as temporary:
        nibabel.save(type(image)(labels.array, image.affine, header), temporary)
