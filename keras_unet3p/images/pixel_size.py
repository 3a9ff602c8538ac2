"""How large a pixel is, where a file tells."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile

MICROMETRES = {
    "nm": 1e-3,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,  # the Greek letter
    "\\u00b5m": 1.0,  # as ImageJ escapes it
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometers": 1.0,
    "nanometer": 1e-3,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
    "mm": 1e3,
    "cm": 1e4,
}
"""Micrometres in a unit of length, by the names that files use."""
_CENTIMETRE = 3  # of the tag ResolutionUnit
_LARGEST = 100.0
"""Micrometres up to which a plain TIFF's resolution is that of a microscope, not of a printer."""
_EQUAL = 0.01  # by which width and height of a pixel may differ


def stored_pixel_size(path: str | os.PathLike[str]) -> float | None:
    """Side of a pixel in micrometres by a TIFF's own metadata; None where it has none.

    Read are OME-XML (`PhysicalSizeX`), ImageJ's unit with the tag `XResolution`, and a resolution
    in pixels per centimetre that gives at most 100 micrometres. Inches are what printers and
    cameras write and are not taken. Nor are pixels that are not square.

    Args:
        path: of an image file; others than TIFF tell nothing.

    Example:
        >>> pixels = np.zeros((8, 9), np.uint8)
        >>> tifffile.imwrite(
        ...     "a.tif", pixels, imagej=True, resolution=(4, 4), metadata={"unit": "um"}
        ... )
        >>> stored_pixel_size("a.tif")
        0.25
    """
    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        return None
    with tifffile.TiffFile(path) as tiff:
        if tiff.is_ome and tiff.ome_metadata:
            return _of_ome(tiff.ome_metadata)
        tags = tiff.pages[0].tags  # type: ignore[union-attr]
        if tiff.is_imagej:
            unit = str((tiff.imagej_metadata or {}).get("unit", ""))
            return _of_resolution(tags, MICROMETRES.get(unit.lower()))
        unit = tags.get("ResolutionUnit")
        if unit is None or int(unit.value) != _CENTIMETRE:
            return None
        size = _of_resolution(tags, MICROMETRES["cm"])
        return size if size is not None and size <= _LARGEST else None


def _of_resolution(tags: Any, unit: float | None) -> float | None:
    """Micrometres of a pixel, of which so many lie in a unit of so many micrometres."""
    found = [tags.get(name) for name in ("XResolution", "YResolution")]
    if unit is None or None in found:
        return None
    numbers = [tag.value for tag in found]
    if not all(len(number) == 2 and number[0] > 0 and number[1] > 0 for number in numbers):
        return None
    return square(*(unit * below / above for above, below in numbers))


def ome_channel_names(text: str | None) -> list[str]:
    """Names of the channels of OME-XML's first image; "" for one without."""
    pixels = _ome_pixels(text or "")
    found = [] if pixels is None else [x for x in pixels if x.tag.endswith("}Channel")]
    return [channel.get("Name", "") for channel in found]


def stored_slice_spacing(path: str | os.PathLike[str]) -> float | None:
    """Micrometres from a slice to the next by a TIFF's own metadata; None where it has none.

    Read are OME-XML (`PhysicalSizeZ`) and ImageJ's `spacing` with its unit.

    Example:
        >>> pixels = np.zeros((2, 8, 9), np.uint8)
        >>> told = {"unit": "um", "spacing": 1.5, "axes": "ZYX"}
        >>> tifffile.imwrite("a.tif", pixels, imagej=True, metadata=told)
        >>> stored_slice_spacing("a.tif")
        1.5
    """
    with tifffile.TiffFile(path) as tiff:
        if tiff.is_ome and tiff.ome_metadata:
            pixels = _ome_pixels(tiff.ome_metadata)
            return None if pixels is None else _ome_size(pixels, "Z")
        told = (tiff.imagej_metadata or {}) if tiff.is_imagej else {}
    unit, spacing = MICROMETRES.get(str(told.get("unit", "")).lower()), told.get("spacing")
    if unit is None or not isinstance(spacing, int | float) or not spacing > 0:
        return None
    return float(f"{spacing * unit:.6g}")


def _of_ome(text: str) -> float | None:
    pixels = _ome_pixels(text)
    if pixels is None:
        return None
    width, height = _ome_size(pixels, "X"), _ome_size(pixels, "Y")
    return None if width is None or height is None else square(width, height)


def _ome_pixels(text: str) -> ElementTree.Element | None:
    """Of OME-XML's first image what tells of its pixels."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    return next((item for item in root.iter() if item.tag.endswith("}Pixels")), None)


def _ome_size(pixels: ElementTree.Element, axis: str) -> float | None:
    unit = MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    try:
        size = float(pixels.get(f"PhysicalSize{axis}", ""))
    except ValueError:
        return None
    return size * unit if unit is not None and 0 < size < float("inf") else None


def square(width: float, height: float) -> float | None:
    """The side of a pixel of this width and height; None where they differ."""
    return float(f"{width:.6g}") if abs(width - height) <= _EQUAL * width else None
