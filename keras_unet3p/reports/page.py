"""What every page is made of: the template, numbers, and the part about the images."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path
from typing import Any

import jinja2

from keras_unet3p.artifacts import EvaluationReport
from keras_unet3p.files import printable, write_text
from keras_unet3p.images.pictures import ERROR_COLOURS
from keras_unet3p.reports.embedded_pictures import embedded_panel

MOST_ROWS = 200
"""Images in a page's table; `metrics.csv` has all of them."""
_PICTURES_OF_EACH_END = 3
_TEMPLATE = "page.html.jinja"
_NAMES = {
    "dice": "Dice",
    "iou": "IoU",
    "seg": "SEG",
    "pixel_error": "pixel error",
    "rand_error": "Rand error",
    "warping_error": "warping error",
    "hausdorff_95": "Hausdorff 95 (px)",
    "pq": "PQ",
    "average_precision": "AP",
}


def write_page(path: str | os.PathLike[str], **content: Any) -> None:
    """Fill the template and write the page atomically; what is not Markup is escaped."""
    content = {"is_run": False, "folds": [], "charts": [], "chosen": None, "plan": []} | content
    write_text(path, _environment().get_template(_TEMPLATE).render(**content))


@functools.lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_unet3p", "reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    return environment


def number(value: float | None) -> str:
    """A measure with four digits; a dash where there is none.

    Example:
        >>> number(0.91234), number(None)
        ('0.9123', '–')
    """
    return "–" if value is None or not math.isfinite(value) else f"{value:.4f}"


def measure_name(measure: str) -> str:
    """A measure of `metrics.evaluate_labels` as people call it.

    Example:
        >>> measure_name("dice"), measure_name("f1@0.5")
        ('Dice', 'F1 at IoU 0.5')
    """
    name, _, threshold = measure.partition("@")
    if not threshold:
        return _NAMES.get(name, name)
    return f"{_NAMES.get(name, name.upper())} at IoU {threshold}"


def last_part(path: str | os.PathLike[str] | None) -> str:
    """A path's last part, printable: a page is sent to others, who need no folders of this machine.

    Example:
        >>> last_part("/home/me/cells/images")
        'images'
    """
    return "" if path is None else printable(Path(path).name or path)


def image_content(
    report: EvaluationReport, folder: Path, class_names: list[str] | None = None
) -> dict[str, Any]:
    """What the template shows of an evaluation.

    Args:
        report: the measures.
        folder: that of the evaluation, with `pictures/` in it.
        class_names: the background's first, where they are known.
    """
    last = len(report.images) - 1
    ranks = {*range(_PICTURES_OF_EACH_END), *range(last - _PICTURES_OF_EACH_END + 1, last + 1)}
    shown = []
    for rank in sorted(ranks & set(range(last + 1))):
        picture = embedded_panel(report.picture(folder, rank))
        if picture is not None:
            row = report.images[rank]
            errors = {name: row.get(name) for name in ERROR_COLOURS}
            shown.append(
                {
                    "name": printable(row["name"]),
                    "dice": row["dice"],
                    "errors": errors,
                    "panel": picture,
                }
            )
    return {
        "columns": [(name, measure_name(name)) for name in report.columns],
        "overall": report.overall,
        "mask_kind": report.mask_kind,
        "images": [{**row, "name": printable(row["name"])} for row in report.images[:MOST_ROWS]],
        "more_images": max(len(report.images) - MOST_ROWS, 0),
        "count": len(report.images),
        "pictures": shown,
        "errors": ERROR_COLOURS,
        "classes": _classes(report, class_names),
    }


def _classes(report: EvaluationReport, names: list[str] | None) -> list[dict[str, Any]]:
    """The measures of each class, where there are several."""
    if report.mask_kind != "classes":
        return []
    rows = []
    for value in range(1, len(report.overall)):
        if f"dice_{value}" not in report.overall:
            break
        name = names[value] if names and value < len(names) else f"class {value}"
        measures = ("dice", "iou", "precision", "recall")
        found = {measure: report.overall.get(f"{measure}_{value}") for measure in measures}
        rows.append({"name": printable(name), **found})
    return rows
