"""DICOM series and files, slice by slice; masks as DICOM segmentations (SEG)."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p._version import __version__
from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import InputError, needing
from keras_unet3p.files import printable, replacing
from keras_unet3p.images.decoding import errors_name
from keras_unet3p.images.formats.folders import dicom_files
from keras_unet3p.images.limits import Limits
from keras_unet3p.images.plane import Plane
from keras_unet3p.images.volume import Volume, VolumeLabels, volume_planes

_SIDES = (("R", "L"), ("A", "P"), ("I", "S"))
"""Of DICOM's axes x, y and z: the side towards negative and towards positive numbers."""
_NAME = "images.formats.dicom"
_DECODERS = {
    "1.2.840.10008.1.2.4.8": "pyjpegls",  # JPEG-LS
    "1.2.840.10008.1.2.4.9": "pylibjpeg pylibjpeg-openjpeg",  # JPEG 2000
    "1.2.840.10008.1.2.4.2": "pylibjpeg pylibjpeg-openjpeg",  # and its high throughput
    "": "python-gdcm",  # JPEG, also where it is lossless
}
"""What decodes the transfer syntaxes that begin so."""
_LONGEST_LABEL = 64  # characters, of a DICOM string


def _library(name: str = "pydicom") -> Any:
    with needing("medical", _NAME):
        return importlib.import_module(name)


class _Series(Volume):
    """The slices of a series, or the frames of a file, sorted by where they lie in the patient."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with errors_name(path):
            headers = _headers(path)
            for file, header in headers:
                _check_compression(file, header)
            first = headers[0][1]
            frames = int(first.get("NumberOfFrames", 1))
            if frames > 1 and len(headers) > 1:
                raise InputError(
                    f"{printable(path)}: {len(headers)} files of several frames each; give them "
                    "one by one"
                )
            size = (int(first.Rows), int(first.Columns))
            for file, header in headers:
                other = (int(header.Rows), int(header.Columns))
                if other != size:
                    raise InputError(
                        f"{printable(file)}: {other[0]} x {other[1]} pixels; expected "
                        f"{size[0]} x {size[1]}, as the other slices of the series have"
                    )
            self._places = _sorted(headers, frames)
            self.files = [file for file, _ in self._places]
            colours = int(first.get("SamplesPerPixel", 1))
            depth = len(self._places)
            # As the pixels of a slice lie, so that one slice is one file.
            self.names = "zyx" + "c" * (colours > 1)
            self.shape = (depth, *size) + ((colours,) if colours > 1 else ())
            self._set_geometry(first, headers)
            self.dtype = _type_of([header for _, header in headers])

    def _set_geometry(self, first: Any, headers: Sequence[tuple[Path, Any]]) -> None:
        orientation = _found(first, "PlaneOrientationSequence", "ImageOrientationPatient")
        spacing = _found(first, "PixelMeasuresSequence", "PixelSpacing")
        if spacing is None:
            spacing = first.get("ImagerPixelSpacing")
        if spacing is not None:
            self.spacing = (float("nan"), float(spacing[0]), float(spacing[1]))
        if orientation is None:
            return
        along = np.asarray(orientation, float)
        columns, rows = along[:3], along[3:]
        vectors = (np.cross(columns, rows), rows, columns)
        self.directions = _directions(vectors)
        positions = [_position(header) for _, header in headers]
        if len(positions) > 1 and all(each is not None for each in positions) and self.spacing:
            heights = np.sort(np.asarray(positions, float) @ vectors[0])
            step = float(np.median(np.diff(heights)))
            self.spacing = (step, *self.spacing[1:])

    def read(self, key: tuple[int | slice, ...]) -> np.ndarray:
        with errors_name(self.path):
            if isinstance(key[0], slice):
                wanted = range(*key[0].indices(self.shape[0]))
                slices = [self._slice(at) for at in wanted]
                return np.stack([each[key[1:]] for each in slices])
            return self._slice(key[0])[key[1:]]

    def _slice(self, at: int) -> np.ndarray:
        file, frame = self._places[at]
        status = file.stat()
        values = _pixels(file, status.st_mtime_ns, status.st_size)
        values = values if frame is None else values[frame]
        return values.astype(self.dtype, copy=False)


def _directions(vectors: Sequence[np.ndarray]) -> str:
    """The side of the patient towards which each of three axes runs; "" where two run alike."""
    places = [int(np.argmax(np.abs(each))) for each in vectors]
    if len(set(places)) < 3:
        return ""
    return "".join(_SIDES[at][int(each[at] > 0)] for at, each in zip(places, vectors, strict=True))


def _headers(path: Path) -> list[tuple[Path, Any]]:
    """The images among the files of a folder, or the file, without their pixels."""
    pydicom = _library()
    headers = []
    for file in dicom_files(path) if path.is_dir() else [path]:
        header = pydicom.dcmread(file, stop_before_pixels=True)
        if "Rows" in header and (path.is_file() or header.get("Modality") != "SEG"):
            headers.append((file, header))
    if not headers:
        raise InputError(f"{printable(path)}: DICOM without an image")
    series = {str(header.get("SeriesInstanceUID")): header for _, header in headers}
    if len(series) > 1:
        listed = ", ".join(
            printable(str(header.get("SeriesDescription", uid))) for uid, header in series.items()
        )
        raise InputError(
            f"{printable(path)}: {len(series)} series ({listed}); expected one in a folder"
        )
    return headers


def _check_compression(file: Path, header: Any) -> None:
    """See that a package is there that decodes the file's pixels.

    Raises:
        ValueError: there is none; the message names the packages that do.
    """
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax is None or not syntax.is_compressed or syntax.is_deflated:
        return
    known = importlib.import_module("pydicom.pixels")
    try:
        if known.get_decoder(syntax).is_available:
            return
    except NotImplementedError:
        raise InputError(
            f"{printable(file)}: pixels compressed as {syntax.name}, which is not read; expected "
            "RLE, JPEG, JPEG-LS or JPEG 2000"
        ) from None
    packages = next(names for start, names in _DECODERS.items() if syntax.startswith(start))
    raise InputError(
        f"{printable(file)}: pixels compressed as {syntax.name}; expected its decoder: "
        f"pip install {packages}"
    )


def _found(header: Any, group: str, name: str) -> Any:
    """An attribute of a header, or of the groups in which enhanced objects keep it."""
    if header.get(name) is not None:
        return header.get(name)
    for place in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for frame in header.get(place) or []:
            for item in frame.get(group) or []:
                if item.get(name) is not None:
                    return item.get(name)
    return None


def _position(header: Any) -> Any:
    return header.get("ImagePositionPatient")


def _sorted(headers: Sequence[tuple[Path, Any]], frames: int) -> list[tuple[Path, int | None]]:
    if len(headers) == 1:
        file = headers[0][0]
        return [(file, None)] if frames == 1 else [(file, frame) for frame in range(frames)]
    first = headers[0][1]
    orientation = _found(first, "PlaneOrientationSequence", "ImageOrientationPatient")
    positions = [_position(header) for _, header in headers]
    if orientation is not None and all(each is not None for each in positions):
        along = np.asarray(orientation, float)
        heights = np.asarray(positions, float) @ np.cross(along[:3], along[3:])
        if len(np.unique(heights.round(3))) < len(heights):
            raise InputError(
                f"{printable(headers[0][0].parent)}: several slices at one place (a series of "
                "points in time?); expected one volume in a folder"
            )
    else:
        heights = np.asarray([float(header.get("InstanceNumber") or 0) for _, header in headers])
    return [(headers[at][0], None) for at in np.argsort(heights, kind="stable")]


def _rescale(header: Any) -> tuple[float, float]:
    group = "PixelValueTransformationSequence"
    slope = _found(header, group, "RescaleSlope")
    intercept = _found(header, group, "RescaleIntercept")
    return float(1 if slope is None else slope), float(0 if intercept is None else intercept)


def _type_of(headers: Sequence[Any]) -> np.dtype:
    """One type for all slices: stored integers, or int16 where Hounsfield units are whole."""
    rules = {_rescale(header) for header in headers}
    first = headers[0]
    if int(first.get("BitsAllocated", 16)) > 16:
        return np.dtype(np.float32)
    is_signed = int(first.get("PixelRepresentation", 0)) == 1
    if rules == {(1.0, 0.0)}:
        stored = 8 if int(first.get("BitsAllocated", 16)) == 8 else 16
        return np.dtype(f"{'int' if is_signed else 'uint'}{stored}")
    bits = int(first.get("BitsStored", 16))
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
    values = [slope * end + intercept for slope, intercept in rules for end in ends]
    whole = all(slope.is_integer() and intercept.is_integer() for slope, intercept in rules)
    limits = np.iinfo(np.int16)
    fits = min(values) >= limits.min and max(values) <= limits.max
    return np.dtype(np.int16 if whole and fits else np.float32)


@functools.lru_cache(maxsize=4)
def _pixels(file: Path, *stamp: int) -> np.ndarray:
    """The values of a file, in Hounsfield units where it tells how they become such."""
    pydicom = _library()
    dataset = pydicom.dcmread(file)
    values = dataset.pixel_array
    slope, intercept = _rescale(dataset)
    if (slope, intercept) != (1.0, 0.0):
        return values.astype(np.float64) * slope + intercept
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":  # bright is a small number
        bits = int(dataset.BitsStored)
        signed = int(dataset.PixelRepresentation) == 1
        return (-1 if signed else 2**bits - 1) - values
    return values


def planes(
    path: Path, reading: ReadingChoices, limits: Limits, *, labels: bool = False
) -> list[Plane]:
    """The slices of a series, sorted along the patient, the frames of a file, or an image.

    Values are Hounsfield units where the files tell how they become such (rescale slope and
    intercept).

    Args:
        path: the folder of a series, or a file.
        reading: along which axis a volume is cut.
        limits: of the number of slices.
        labels: a segmentation (SEG) gives the numbers of its segments.

    Raises:
        ValueError: a file is damaged, or the folder holds several series.
    """
    if labels and path.is_file():
        volume = _segments(path)
        if volume is not None:
            return volume_planes(volume, reading, limits)
    return volume_planes(_Series(path), reading, limits)


class _Segments(Volume):
    """The segments of a SEG, as one volume of their numbers."""

    def __init__(self, path: Path, array: np.ndarray, directions: str) -> None:
        self.path, self._array = path, array
        self.names, self.shape, self.dtype = "zyx", array.shape, array.dtype
        self.directions = directions

    def read(self, key: tuple[int | slice, ...]) -> np.ndarray:
        return self._array[key]


def _segments(path: Path) -> _Segments | None:
    pydicom = _library()
    with errors_name(path):
        if pydicom.dcmread(path, stop_before_pixels=True).get("Modality") != "SEG":
            return None
        highdicom = _library("highdicom")
        volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
        array = np.asarray(volume.array)
        slices, rows, columns = (np.asarray(volume.affine)[:3, at] for at in range(3))
        normal = np.cross(columns, rows)
        if slices @ normal < 0:  # it may run against the order in which series are sorted
            array = array[::-1]
    return _Segments(path, array, _directions((normal, rows, columns)))


@contextlib.contextmanager
def label_file(
    path: Path,
    target: Path,
    reading: ReadingChoices,
    dtype: np.dtype,
    class_names: Sequence[str] = (),
) -> Iterator[VolumeLabels]:
    """Context that writes the class ids of a series as a DICOM segmentation.

    Args:
        path: the image.
        target: the file of the segmentation.
        reading: with which the image was read.
        dtype: of the labels.
        class_names: which the segments get, the background's first; class 1 and so on without.

    Raises:
        ValueError: instances are asked for, of which such files have no notion.
    """
    highdicom = _library("highdicom")
    if np.dtype(dtype) != np.uint8:
        raise InputError(
            f"mask_format: {printable(path)}: a DICOM segmentation holds classes, not instances; "
            "give 'tiff' (--format tiff)"
        )
    series = _Series(path)
    labels = VolumeLabels(series, reading, dtype)
    yield labels
    pydicom = _library()
    files = list(dict.fromkeys(series.files))
    with errors_name(path):
        segmentation = _segmentation(
            highdicom, [pydicom.dcmread(file) for file in files], labels.array, class_names
        )
    with replacing(target) as temporary:
        segmentation.save_as(temporary)


def _segmentation(
    highdicom: Any, sources: list[Any], array: np.ndarray, class_names: Sequence[str]
) -> Any:
    codes = importlib.import_module("pydicom.sr.codedict").codes
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="keras_unet3p", version=__version__, family=codes.DCM.ArtificialIntelligence
    )
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=_label(number, class_names),
            segmented_property_category=codes.SCT.Tissue,
            segmented_property_type=codes.SCT.Tissue,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number in range(1, max(int(array.max()), 1) + 1)
    ]
    segmentation = highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=array,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=highdicom.UID(),
        series_number=100,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="keras_unet3p",
        manufacturer_model_name="keras_unet3p",
        software_versions=__version__,
        device_serial_number="0",
        omit_empty_frames=False,  # so that its slices are those of the image
    )
    if not all(str(each.segment_label).isascii() for each in segments):
        segmentation.SpecificCharacterSet = "ISO_IR 192"  # UTF-8
    return segmentation


def _label(number: int, class_names: Sequence[str]) -> str:
    """What a segment is called: DICOM takes 64 characters without backslashes."""
    name = class_names[number] if number < len(class_names) else ""
    name = printable(name).replace("\\", "/").strip()
    return name[:_LONGEST_LABEL] or f"class {number}"
