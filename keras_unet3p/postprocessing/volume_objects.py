"""A row of measurements for each object of a volume."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_UM2 = "area_um2"


def volume_table(
    rows: Iterable[Mapping[str, Any]], slice_spacing: Mapping[str, float | None] | None = None
) -> list[dict[str, Any]]:
    """Measurements of objects of volumes, put together of those of their slices.

    Columns: `volume`, `id`; `slices`, `first_slice`, `last_slice`, in how many slices the object
    is and from where to where; `voxels`; `volume_um3` where pixel size and slice spacing are known;
    `centroid_slice`, `centroid_row`, `centroid_column` in slices and pixels; for each channel c
    `mean_intensity_c`; `touches_border`, whether it reaches the edge of a slice, 0 or 1.

    Args:
        rows: of `object_table`, with the same id for the parts of an object (`link_slices`), and
            with `volume`, a name, and `slice`, a number.
        slice_spacing: micrometres from one slice to the next, by the volume's name.

    Returns:
        A dictionary for each object, by volume in the order given and by rising id.

    Example:
        >>> part = {"volume": "scan", "id": 4, "area": 6.0, "area_um2": 1.5, "touches_border": 0}
        >>> part |= {"centroid_row": 2.5, "centroid_column": 3.0}
        >>> row, = volume_table([part | {"slice": n} for n in (5, 6)], {"scan": 2.0})
        >>> row["voxels"], row["volume_um3"], row["centroid_slice"], row["slices"]
        (12, 6.0, 5.5, 2)
    """
    volumes: dict[str, dict[int, list[Mapping[str, Any]]]] = {}
    for row in rows:
        volumes.setdefault(row["volume"], {}).setdefault(row["id"], []).append(row)
    spacings = slice_spacing or {}
    return [
        {"volume": volume, "id": number, **_measured(objects[number], spacings.get(volume))}
        for volume, objects in volumes.items()
        for number in sorted(objects)
    ]


def _measured(parts: list[Mapping[str, Any]], spacing: float | None) -> dict[str, Any]:
    voxels = sum(part["area"] for part in parts)
    places = [part["slice"] for part in parts]
    row = {
        "slices": len(parts),
        "first_slice": min(places),
        "last_slice": max(places),
        "voxels": round(voxels),
    }
    if spacing is not None and all(part.get(_UM2) is not None for part in parts):
        row["volume_um3"] = sum(part[_UM2] for part in parts) * spacing
    for axis in ("slice", "row", "column"):
        name = "slice" if axis == "slice" else f"centroid_{axis}"
        row[f"centroid_{axis}"] = sum(part[name] * part["area"] for part in parts) / voxels
    for name in parts[0]:
        if name.startswith("integrated_intensity_"):
            channel = name.removeprefix("integrated_intensity_")
            row[f"mean_intensity_{channel}"] = sum(part[name] for part in parts) / voxels
    row["touches_border"] = max(part["touches_border"] for part in parts)
    return row
