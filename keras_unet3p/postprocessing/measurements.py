"""A row of measurements for each object."""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage.measure import regionprops_table

from keras_unet3p.errors import InputError

_SHAPES = ("label", "area", "perimeter", "eccentricity", "centroid", "bbox")
# Powers of a pixel's side, for the columns in micrometres.
_LENGTHS = {"perimeter": 1, "area": 2, "centroid_row": 1, "centroid_column": 1}


def object_table(
    instances: np.ndarray, image: np.ndarray, *, pixel_size: float | None = None
) -> list[dict[str, Any]]:
    """Measurements of the objects of an image, by `skimage.measure.regionprops_table`.

    Columns: `id`; `centroid_row`, `centroid_column`, `area`, `perimeter` in pixels, counted from
    the upper left pixel's middle; `eccentricity` of the ellipse with the same moments, 0 to 1; for
    each channel c from 0 `mean_intensity_c` and `integrated_intensity_c` of the values as they are
    stored; `touches_border`, whether the object reaches the image's edge, 0 or 1. With
    `pixel_size` also `area_um2`, `perimeter_um`, `centroid_row_um`, `centroid_column_um`.

    Args:
        instances: (H, W) ids, 0 the background.
        image: (H, W) or (H, W, C), as stored.
        pixel_size: side of a pixel, micrometres.

    Returns:
        A dictionary for each object, by rising id.

    Raises:
        ValueError: the shapes differ, or the pixel size is not above 0.

    Example:
        >>> ids = np.zeros((6, 8), int)
        >>> ids[2:4, 2:5] = 1
        >>> row, = object_table(ids, np.full((6, 8, 1), 7), pixel_size=0.5)
        >>> row["area"], row["area_um2"], row["mean_intensity_0"], row["touches_border"]
        (6.0, 1.5, 7.0, 0)
    """
    instances, image = np.asarray(instances), np.asarray(image)
    if image.ndim == 2:
        image = image[..., np.newaxis]
    if instances.ndim != 2 or image.shape[:2] != instances.shape:
        raise InputError(
            f"instances of shape {instances.shape} do not fit an image of shape {image.shape}"
        )
    if pixel_size is not None and not pixel_size > 0:
        raise InputError(f"pixel_size must be above 0 micrometres, found {pixel_size}")
    if not instances.any():
        return []
    found: Any = regionprops_table(instances, properties=_SHAPES)
    ids = found["label"]
    values = instances.ravel()
    columns: dict[str, np.ndarray] = {
        "id": ids,
        "centroid_row": found["centroid-0"],
        "centroid_column": found["centroid-1"],
        "area": found["area"],
        "perimeter": found["perimeter"],
        "eccentricity": found["eccentricity"],
    }
    for channel in range(image.shape[-1]):
        totals = np.bincount(values, weights=image[..., channel].ravel().astype(np.float64))[ids]
        columns[f"mean_intensity_{channel}"] = totals / found["area"]
        columns[f"integrated_intensity_{channel}"] = totals
    top, left, bottom, right = (found[f"bbox-{side}"] for side in range(4))
    height, width = instances.shape
    touches = (top == 0) | (left == 0) | (bottom == height) | (right == width)
    columns["touches_border"] = touches.astype(int)
    if pixel_size is not None:
        for name, power in _LENGTHS.items():
            unit = "um2" if power == 2 else "um"
            columns[f"{name}_{unit}"] = columns[name] * pixel_size**power
    names = list(columns)
    return [
        dict(zip(names, (value.item() for value in row), strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
