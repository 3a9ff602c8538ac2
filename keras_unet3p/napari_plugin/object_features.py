"""The table of what lies in a result: napari shows it as the features of the layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_unet3p.postprocessing import object_table

_ROWS_AT_ONCE = 1024


def object_features(
    labels: np.ndarray,
    image: np.ndarray,
    *,
    corner: tuple[int, int] = (0, 0),
    pixel_size: float | None = None,
    classes: Mapping[int, int] | None = None,
    probability: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """A row for each label: `postprocessing.object_table`, the class and the mean probability.

    Args:
        labels: (H, W) ids of instances or of classes, 0 the background.
        image: (H, W, C), as stored.
        corner: row and column of the first pixel; the centroids are told in the whole plane.
        pixel_size: side of a pixel, micrometres.
        classes: the class of each label, which gives the column `class`.
        probability: (H, W), that of each pixel's class (of instances, of the foreground), which
            gives the column `mean_probability`.

    Example:
        >>> labels = np.array([[0, 2, 2]])
        >>> row, = object_features(labels, np.zeros((1, 3, 1)), corner=(10, 20), classes={2: 1})
        >>> row["index"], row["class"], row["area"], row["centroid_row"], row["centroid_column"]
        (2, 1, 2.0, 10.0, 21.5)
    """
    found = object_table(labels, image)
    means = _means(labels, probability)
    rows = []
    for values in found:
        row: dict[str, Any] = {"index": values.pop("id")}
        if classes is not None:
            row["class"] = classes[row["index"]]
        row |= values
        if means is not None:
            row["mean_probability"] = float(means[row["index"]])
        rows.append(_placed(row, corner, pixel_size))
    return rows


def features_by_strips(
    labels: np.ndarray,
    *,
    corner: tuple[int, int] = (0, 0),
    pixel_size: float | None = None,
    are_classes: bool = False,
) -> list[dict[str, Any]]:
    """Area, centroid and class of each label of an image larger than memory, read strip by strip.

    Args:
        labels: (H, W) ids from 0 on, anything that rows can be sliced from.
        corner, pixel_size: see `object_features`.
        are_classes: whether the ids are those of classes, which gives the column `class`.

    Example:
        >>> features_by_strips(np.array([[0, 2, 2]]), are_classes=True)
        [{'index': 2, 'class': 2, 'centroid_row': 0.0, 'centroid_column': 1.5, 'area': 2.0}]
    """
    sums = np.zeros((3, 0))  # area, and of rows and columns
    for top in range(0, labels.shape[0], _ROWS_AT_ONCE):
        strip = np.asarray(labels[top : top + _ROWS_AT_ONCE])
        rows, columns = np.nonzero(strip)
        ids = strip[rows, columns]
        if not ids.size:
            continue
        counted = [np.bincount(ids, weights) for weights in (None, rows + top, columns)]
        longer = max(len(counted[0]) - sums.shape[1], 0)
        sums = np.pad(sums, ((0, 0), (0, longer)))
        sums[:, : len(counted[0])] += counted
    table = []
    for label in np.flatnonzero(sums[0]).tolist():
        area, of_rows, of_columns = sums[:, label].tolist()
        row: dict[str, Any] = {"index": label}
        if are_classes:
            row["class"] = label
        row["centroid_row"], row["centroid_column"] = of_rows / area, of_columns / area
        table.append(_placed({**row, "area": area}, corner, pixel_size))
    return table


def _means(labels: np.ndarray, probability: np.ndarray | None) -> np.ndarray | None:
    if probability is None:
        return None
    values = labels.ravel()
    totals = np.bincount(values, weights=probability.ravel().astype(np.float64))
    return totals / np.maximum(np.bincount(values), 1)


def _placed(row: dict[str, Any], corner: Sequence[int], pixel_size: float | None) -> dict[str, Any]:
    row["centroid_row"] += corner[0]
    row["centroid_column"] += corner[1]
    if pixel_size is not None:
        row["area_um2"] = row["area"] * pixel_size**2
        if "perimeter" in row:
            row["perimeter_um"] = row["perimeter"] * pixel_size
    return row
