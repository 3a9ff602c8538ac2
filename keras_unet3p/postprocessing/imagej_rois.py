"""Outlines of objects as the regions of interest that ImageJ and Fiji read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from roifile import ROI_TYPE, ImagejRoi

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0  # of java.awt.geom.PathIterator


def outlines_rois(
    outlines: dict[int, list[list[np.ndarray]]], classes: Mapping[int, str] | None = None
) -> bytes:
    """A ROI set of `object_outlines`, the content of the ZIP file that the ROI Manager opens.

    Each object is one region, named by its number: a traced outline, or where it has holes or
    several pieces a composite one. Corners of pixels are whole numbers, as in ImageJ.

    Args:
        outlines: of `object_outlines`.
        classes: the names of the classes of objects that have one, which follow the number.

    Example:
        >>> from keras_unet3p.postprocessing import object_outlines
        >>> encoded = outlines_rois(object_outlines(np.ones((2, 3), int)))
        >>> zipfile.ZipFile(io.BytesIO(encoded)).namelist()
        ['1.roi']
    """
    encoded = io.BytesIO()
    with zipfile.ZipFile(encoded, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, polygons in outlines.items():
            rings = [ring for polygon in polygons for ring in polygon]
            roi = _traced(rings[0]) if len(rings) == 1 else _composite(rings)
            roi.name = str(number)
            if classes is not None and number in classes:
                roi.name += f" {classes[number]}"
            archive.writestr(f"{number}.roi", roi.tobytes())
    return encoded.getvalue()


def _traced(ring: np.ndarray) -> ImagejRoi:
    roi = ImagejRoi.frompoints(np.rint(ring[:-1]).astype(int), name="")
    roi.roitype = ROI_TYPE.TRACED
    return roi


def _composite(rings: list[np.ndarray]) -> ImagejRoi:
    path: list[float] = []
    for ring in rings:
        for step, (x, y) in zip([_MOVE, *[_LINE] * (len(ring) - 2)], ring[:-1], strict=True):
            path += [step, x, y]
        path.append(_CLOSE)
    corners = np.concatenate(rings)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return ImagejRoi(
        roitype=ROI_TYPE.RECT,  # of shapes
        left=int(left),
        top=int(top),
        right=int(right),
        bottom=int(bottom),
        shape_roi_size=len(path),
        multi_coordinates=np.array(path, np.float32),
    )
