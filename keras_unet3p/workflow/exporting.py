"""From a run folder to a SavedModel that TensorFlow Serving serves."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from keras_unet3p.config import MAX_PIXELS
from keras_unet3p.export import export_savedmodel
from keras_unet3p.postprocessing import InstanceRule
from keras_unet3p.progress import Progress, reporting
from keras_unet3p.workflow.exported_run import ExportedRun
from keras_unet3p.workflow.network_of_source import network_of


def export(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    tile_size: int = 512,
    version: int | None = None,
    members: Sequence[int] | None = None,
    halo: int | str | None = None,
    blend: int | None = None,
    border: int = 0,
    threshold: float | None = None,
    max_pixels: int = MAX_PIXELS,
    max_batch_pixels: int | None = None,
    batch_size: int = 1,
    skip_empty: bool = True,
    test_time_augmentation: int | None = None,
    golden_pairs: bool = True,
    progress: Progress = False,
) -> Path:
    """Export a run's best model, decoding, normalisation and tiling inside.

    Args:
        run: run folder of `train`, folder of `cross_validate`, or the name of a preset.
        out: folder of the served model, named as the model; the export becomes its next version.
        tile_size: side of the tiles, pixels.
        version: number of the version folder; None takes the next free one.
        members: of a cross-validation, the folds whose networks are exported, from 1 on: fewer are
            faster. None takes all.
        threshold: of the mask; None takes what was chosen on the run's validation images. The
            smallest object and the largest hole that were chosen with it are in the model card
            (`training.postprocessing`), and not in the graph: `predict` and `evaluate` of the
            export apply them, and readers of the served mask may, by
            `postprocessing.MaskRule.cleaned`.
        test_time_augmentation: mirrored and turned versions of each tile that are averaged; None
            takes what was chosen on the run's validation images.
        halo, blend, border, max_pixels, max_batch_pixels, batch_size, skip_empty, golden_pairs: as
            `keras_unet3p.export.export_savedmodel`.
        progress: whether to show how much is done, as `predict`.

    Returns:
        The version folder, `OUT/VERSION`.

    Raises:
        ValueError: `run` is no run folder, has no finished epoch or is damaged, or an argument does
            not fit the model.

    Example:
        >>> export("runs/cells", "models/cells", tile_size=512)  # doctest: +SKIP
        PosixPath('models/cells/1')
    """
    exported = ExportedRun.of(run)
    found, rule = exported.record.data, exported.rule
    if threshold is None:
        threshold = rule.threshold
    if test_time_augmentation is None:
        test_time_augmentation = exported.test_time_augmentation
    with reporting(progress, 1, "exporting") as report:
        return export_savedmodel(
            network_of(exported.source, members),
            out,
            tile_size=tile_size,
            version=version,
            classes=found.classes,
            value_scale=found.normalization["value_scale"],
            input_dtype="uint8" if found.stored_types == ["uint8"] else "float32",
            training_metrics=exported.training_metrics,
            halo=halo,
            blend=blend,
            border=border,
            threshold=threshold,
            instances=dataclasses.replace(rule, threshold=threshold)
            if isinstance(rule, InstanceRule)
            else None,
            golden_pairs=golden_pairs,
            max_pixels=max_pixels,
            max_batch_pixels=max_batch_pixels,
            batch_size=batch_size,
            skip_empty=skip_empty,
            test_time_augmentation=test_time_augmentation,
            progress=report,
        )
