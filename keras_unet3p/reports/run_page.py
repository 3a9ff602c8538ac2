"""The page of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_unet3p.artifacts import (
    EvaluationReport,
    Plan,
    PostprocessingRecord,
    RunFolder,
    RunRecord,
)
from keras_unet3p.config import TrainingConfig
from keras_unet3p.files import printable
from keras_unet3p.reports.curves import Curve, Mark, line_chart
from keras_unet3p.reports.page import image_content, last_part, write_page

_DEFAULT = 0.5  # threshold
_CHARTS = {"Loss": "loss", "Dice": "dice"}


def write_run_page(run: RunFolder) -> Path:
    """Write `RUN/report.html` from the files of a run whose training and evaluation are done.

    Args:
        run: the folder; its configuration, history, choice after the network, `metrics.json` and
            pictures are read.

    Returns:
        The path of the page.

    Raises:
        ValueError: a file of the run is damaged.

    Example:
        >>> write_run_page(RunFolder("runs/cells"))  # doctest: +SKIP
        PosixPath('runs/cells/report.html')
    """
    record, history = run.read_record(), run.read_history()
    report = EvaluationReport.read(run.validation_report)
    best = history.best()
    write_page(
        run.report,
        title=last_part(run.path.resolve()),
        is_run=True,
        charts=_charts(history.rows, best),
        chosen=chosen_content(run.read_postprocessing()),
        plan=_plan(run.read_plan()),
        epochs=int(history.rows[-1]["epoch"]) if history.rows else 0,
        best_epoch=None if best is None else int(best["epoch"]),
        time=duration(history.seconds),
        facts=_facts(record),
        configuration=_configuration(record),
        versions={printable(name): printable(found) for name, found in record.versions.items()},
        **image_content(report, run.validation, record.data.classes),
    )
    return run.report


def duration(seconds: float) -> str:
    """A time in its two largest units.

    Example:
        >>> duration(42), duration(750), duration(7300)
        ('42 s', '12 min 30 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _charts(
    rows: Sequence[dict[str, float]], best: dict[str, float] | None
) -> list[tuple[str, Any]]:
    charts = []
    for title, name in _CHARTS.items():
        curves = []
        for label, column in (("training", name), ("validation", f"val_{name}")):
            points = [(row["epoch"], row[column]) for row in rows if column in row]
            curves.append(Curve(label, points))
        marks = []
        if best is not None and f"val_{name}" in best:
            text = f"best epoch {best['epoch']:.0f}"
            marks.append(Mark(best["epoch"], best[f"val_{name}"], text))
        chart = line_chart(curves, x_name="epoch", title=f"{title} by epoch", marks=marks)
        if chart:
            charts.append((title, chart))
    return charts


def _plan(plan: Plan | None) -> list[tuple[str, str, str]]:
    """Option, value and reason of each line."""
    return [
        (printable(line.name), _word(line.value), printable(line.reason))
        for line in (plan.lines if plan is not None else ())
    ]


def chosen_content(record: PostprocessingRecord | None) -> dict[str, Any] | None:
    """What the template shows of the rule after a network; None where none was chosen.

    Example:
        >>> chosen_content(None) is None
        True
    """
    if record is None:
        return None
    curve = dict(record.curve)
    threshold = record.seed_threshold or record.threshold
    texts = {_DEFAULT: f"default {_DEFAULT:g}", threshold: f"chosen {threshold:g}"}
    if threshold == _DEFAULT:
        texts = {_DEFAULT: f"chosen, default {_DEFAULT:g}"}
    marks = [Mark(at, curve[at], text) for at, text in texts.items() if at in curve]
    name = record.measure_name
    return {
        "measure": name,
        "score": record.score,
        "default_score": record.default_score,
        "gain": record.gain,
        "threshold": f"{record.threshold:g}" if curve else None,
        "seed_threshold": f"{record.seed_threshold:g}" if record.gives_instances else None,
        "smoothing": record.smoothing,
        "smallest_object": record.smallest_object,
        "largest_hole": record.largest_hole,
        "versions": record.test_time_augmentation,
        "single_score": record.single_score,
        "averaged_score": record.averaged_score,
        "chart": line_chart(
            [Curve(name, record.curve)],
            x_name=f"threshold{' of seeds' if record.gives_instances else ''} (nothing removed)",
            title=f"{name} by threshold",
            marks=marks,
        ),
    }


def _facts(record: RunRecord) -> dict[str, str]:
    """What was found in the data, in words."""
    data = record.data
    names, number = data.classes or [], str(data.num_classes or "")
    facts = {
        "images": last_part(data.images),
        "masks": f"{last_part(data.masks)} ({data.mask_kind})",
        "classes": ", ".join(names) or (number if data.mask_kind == "classes" else ""),
        "channels": str(data.num_channels or ""),
        "stored as": ", ".join(data.stored_types),
        "value scale": str(data.normalization.get("value_scale", "")),
        "training images": str(len(data.training_names or [])),
        "validation images": str(len(data.validation_names or [])),
    }
    return {name: printable(value) for name, value in facts.items() if value}


def _configuration(record: RunRecord) -> list[tuple[str, str, bool]]:
    """Name, value, and whether it is not the default, of every choice."""
    defaults = TrainingConfig().to_dict()
    rows = []
    for name, value in record.training.items():
        shown = last_part(value) if name == "encoder_weights" and value else _word(value)
        if name == "callbacks" and isinstance(value, list):  # whose arguments are not for others
            shown = printable(", ".join(str(item["name"]) for item in value)) or _word(None)
        rows.append((printable(name), shown, defaults.get(name) != value))
    return rows


def _word(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(f"{value:g}" if isinstance(value, float) else str(value))
