"""From a run folder to a package of the BioImage Model Zoo."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_unet3p import export as exports
from keras_unet3p.artifacts import EvaluationReport, Preset
from keras_unet3p.errors import InputError
from keras_unet3p.workflow.exported_run import ExportedRun
from keras_unet3p.workflow.network_of_source import network_of

_PRESETS_AUTHORS, _PRESETS_LICENSE = ["The keras_unet3p authors"], "Apache-2.0"
_LONGEST_NAME = 64


def export_bioimageio(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    authors: Sequence[str] | None = None,
    license: str | None = None,
    name: str | None = None,
    tile_size: int = 512,
    halo: int | str | None = None,
    members: Sequence[int] | None = None,
) -> Path:
    """Export a run's best model as a package of the BioImage Model Zoo.

    See `keras_unet3p.export.export_bioimageio` for what is in it.

    Args:
        run: run folder of `train`, folder of `cross_validate`, or the name of a preset.
        out: file ending in .zip.
        authors: names of those who trained the model; a preset has its own.
        license: SPDX identifier of the weights' licence, such as "CC-BY-4.0"; a preset has its own.
        name: of the model, 5 to 128 letters, digits, spaces or any of `_+-()`; None makes one of
            the run's.
        tile_size: side of the tiles inside the SavedModel, pixels.
        halo: see `tiling.model_geometry`.
        members: of a cross-validation, the folds whose networks are exported, from 1 on. None takes
            all.

    Returns:
        The file.

    Raises:
        ImportError: the packages of the extra "bioimageio" are not installed.
        ValueError: `run` is no run folder, has no finished epoch or is damaged, authors or licence
            are not told, or an argument does not fit the model.

    Example:
        >>> export_bioimageio("nuclei", "nuclei.zip")  # doctest: +SKIP
        PosixPath('nuclei.zip')
    """
    exported = ExportedRun.of(run)
    is_preset = exported.source.kind == "preset"
    found = exported.record.data
    text = exports.PackageText(
        name=name or _name_of(exported),
        authors=_given("authors", authors, _PRESETS_AUTHORS if is_preset else None),
        license=_given("license", license, _PRESETS_LICENSE if is_preset else None),
        description=_description(exported),
        validation=_validation(exported),
        training_data=_training_data(exported),
        architecture=_architecture(exported),
        card=Preset(exported.source.name).card if is_preset else None,
    )
    return exports.export_bioimageio(
        network_of(exported.source, members),
        out,
        text,
        tile_size=tile_size,
        halo=halo,
        value_scale=found.normalization["value_scale"],
        stored_types=found.stored_types,
        rule=exported.rule,
        classes=found.classes,
        training_metrics=exported.training_metrics,
    )


def _given(argument: str, value: Any, default: Any) -> Any:
    if not (value or default):
        raise InputError(f"{argument}: none given; expected those of the trained model")
    return value or default


def _architecture(exported: ExportedRun) -> str:
    return str(exported.record.training.get("architecture", "unet"))


def _name_of(exported: ExportedRun) -> str:
    name = re.sub(r"[^A-Za-z0-9_+ ()-]", "_", Path(exported.source.name).name)
    return f"{name[: _LONGEST_NAME // 2]} segmentation ({_architecture(exported)})"


def _description(exported: ExportedRun) -> str:
    found = exported.record.data
    finds = {
        "instances": "objects, touching ones told apart,",
        "classes": f"{found.num_classes} classes",
    }.get(found.mask_kind, "foreground")
    return (
        f"A 2D segmentation network ({_architecture(exported)}) that finds {finds} in images of "
        f"{found.num_channels} channel(s)."
    )


def _training_data(exported: ExportedRun) -> str:
    found = exported.record.data
    lines = [f"Masks: {found.mask_kind}.", f"Pixels: {', '.join(found.stored_types)}."]
    if found.training_names:
        lines.insert(0, f"Images: {len(found.training_names)}.")
    if found.classes:
        lines.append(f"Classes: {', '.join(found.classes)}.")
    for values in found.normalization.get("stored_values", []):
        low, high = values["low"][0], values["high"][1]
        lines.append(f"Stored values ({values['dtype']}): {low:g} to {high:g}.")
    return "\n".join(f"- {line}" for line in lines)


def _validation(exported: ExportedRun) -> str:
    """What the run measured on its held-out images, as a table."""
    run = exported.source.run
    path = run.validation_report if run else None
    if path is not None and path.is_file():
        report = EvaluationReport.read(path)
        return _table(f"On {len(report.images)} held-out images:", report.overall)
    figures = {name: value for name, value in (exported.best or {}).items() if name[:4] == "val_"}
    if not figures:
        return "Not measured."
    return _table("On the held-out images, in training, without what follows:", figures)


def _table(heading: str, figures: Mapping[str, float | None]) -> str:
    rows = [f"| {name} | {value:.4f} |" for name, value in figures.items() if value is not None]
    note = "They chose the best epoch and what follows the network, so new images may give less."
    return "\n".join([f"{heading}", "", "| measure | value |", "| --- | --- |", *rows, "", note])
