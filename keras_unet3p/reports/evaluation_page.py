"""The page of an evaluation."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from keras_unet3p.artifacts import EvaluationReport
from keras_unet3p.files import printable
from keras_unet3p.reports.page import image_content, last_part, write_page


def write_evaluation_page(
    out: str | os.PathLike[str], report: EvaluationReport, model: str | os.PathLike[str]
) -> Path:
    """Write `OUT/report.html` for an evaluation whose files lie in `out`.

    Args:
        out: folder of the evaluation; its `pictures/` are read.
        report: the measures.
        model: what was evaluated; its last part is the title.

    Returns:
        The path of the page.

    Example:
        >>> report = ku.artifacts.EvaluationReport(
        ...     mask_kind="binary",
        ...     columns=["dice"],
        ...     images=[{"name": "a<b", "dice": 0.5}],
        ...     overall={"dice": 0.5},
        ... )
        >>> page = write_evaluation_page(".", report, "runs/cells")
        >>> "a&lt;b" in page.read_text(), "<script" in page.read_text()
        (True, False)
    """
    path = Path(out) / "report.html"
    name = os.fspath(model)
    if "://" in name:
        parts = urlsplit(name)  # without what may be a password
        title = printable(f"{parts.hostname or ''}{parts.path}")
    else:
        title = last_part(Path(name).resolve())
    write_page(
        path,
        title=title,
        **image_content(report, Path(out)),
    )
    return path
