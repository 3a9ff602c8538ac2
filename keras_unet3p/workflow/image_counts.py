"""How many objects an image has, and how large they are: a row of a table for each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

COLUMNS = ("image", "objects", "at_border", "mean_area", "median_area")
OF_MICROMETRES = ("mean_area_um2", "median_area_um2")


def image_count(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The row of an image.

    Args:
        name: of the image, as in the table of objects.
        rows: of its objects, as `postprocessing.object_table` gives them.

    Returns:
        `image`; `objects`, their number; `at_border`, how many of them the image's border cuts;
        `mean_area` and `median_area` of all of them in pixels, and where the rows tell square
        micrometres `mean_area_um2` and `median_area_um2`. Without objects there are no areas.

    Example:
        >>> image_count("a.png", [{"area": 4.0, "touches_border": 1}, {"area": 6.0}])
        {'image': 'a.png', 'objects': 2, 'at_border': 1, 'mean_area': 5.0, 'median_area': 5.0}
        >>> image_count("dark.png", [])
        {'image': 'dark.png', 'objects': 0, 'at_border': 0}
    """
    at_border = sum(row.get("touches_border", 0) for row in rows)
    count: dict[str, Any] = {"image": name, "objects": len(rows), "at_border": at_border}
    for area in ("area", "area_um2"):
        found = [row[area] for row in rows if area in row]
        if found:
            count[f"mean_{area}"] = float(np.mean(found))
            count[f"median_{area}"] = float(np.median(found))
    return count
