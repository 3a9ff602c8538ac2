"""Cross-validation: a run for each fold, what they reach, and all of them as one model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rich.console import Console

from keras_unet3p import data
from keras_unet3p.artifacts import EvaluationReport, FoldsRecord, RunFolder
from keras_unet3p.artifacts.folds_record import FOLDS_FILE
from keras_unet3p.config import (
    MAX_PAGES,
    MAX_PIXELS,
    ReadingChoices,
    TrainingConfig,
    read_tf_config,
)
from keras_unet3p.errors import InputError
from keras_unet3p.reports import write_folds_page
from keras_unet3p.workflow.predictor import Predictor
from keras_unet3p.workflow.results import choose_and_evaluate, predictor_of_run
from keras_unet3p.workflow.training import open_for_training, train_fold


def cross_validate(
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str] | None,
    config: TrainingConfig,
    *,
    out: str | os.PathLike[str],
    mask_kind: str = "auto",
    classes: Any = None,
    ignore: int | None = None,
    max_pixels: int = MAX_PIXELS,
    max_pages: int = MAX_PAGES,
    reading: ReadingChoices | None = None,
    console: Console | None = None,
) -> FoldsRecord:
    """Train a network for each of `config.folds` parts of the images, without that part.

    Each image is held out once. What follows the networks is then chosen on all images, each
    segmented by the network that has not seen it, and kept as `OUT/postprocessing.json`; measures
    and pictures of these masks are in `OUT/validation`, and `OUT/report.html` shows it all. The
    folder is a model: `predict`, `evaluate`, `export` and `open_model` take the networks as one
    that averages what they say (`models.ensemble`). A fold's own folder is an ordinary run.

    The same call continues a cross-validation that was stopped or killed.

    Args:
        images: as `train`.
        masks: as `train`.
        config: with `folds`, 2 or more; `hours` and `epochs` are each fold's. With
            `contiguous_validation` the folds are blocks of neighbouring images.
        out: folder of the runs `fold-1`, `fold-2`, ... and of `folds.json`.
        mask_kind: as `train`.
        classes: as `train`.
        ignore: as `train`.
        max_pixels: as `train`.
        max_pages: as `train`.
        reading: as `train`.
        console: as `train`.

    Returns:
        The measures of the folds.

    Raises:
        ValueError: as `train`; or there are fewer images than folds.

    Example:
        >>> config = TrainingConfig(folds=5, epochs=10)
        >>> cross_validate("images", "masks", config, out="runs/cells")  # doctest: +SKIP
    """
    if config.folds is None or config.fold is not None:
        raise InputError("config: expected folds without fold, which is one of them")
    _refuse_several_machines()
    console = console or Console(stderr=True)
    of_data: dict[str, Any] = {
        "mask_kind": mask_kind,
        "classes": classes,
        "ignore": ignore,
        "max_pixels": max_pixels,
        "max_pages": max_pages,
        "reading": reading,
    }
    opened, normalization = open_for_training(images, masks, config, **of_data, progress=console)
    folds = opened.folds(config.folds, config.seed, contiguous=config.contiguous_validation)
    # The networks of an ensemble agree in it, also where one fold alone would be normalised
    # otherwise.
    config = config.model_copy(update={"normalization": normalization})
    runs = [RunFolder(Path(out) / f"fold-{number}") for number in range(1, len(folds) + 1)]
    for number, run in enumerate(runs, start=1):
        console.print(f"fold {number} of {len(runs)}", highlight=False)
        one = config.model_copy(update={"fold": number})
        train_fold(images, masks, one, out=run.path, console=console, **of_data)
    record = _record(runs)
    whole = RunFolder(out)
    report = _out_of_fold(whole, config, opened, folds, runs, console)
    # The last of all: a folder with this file is a whole cross-validation.
    record.write(whole.path / FOLDS_FILE)
    write_folds_page(whole, record)
    for name in report.columns:
        mean, spread = record.of(name)
        console.print(f"{name:22} {mean:.4f} ± {spread:.4f} over the folds", highlight=False)
    return record


def _refuse_several_machines() -> None:
    cluster = read_tf_config()
    if cluster is not None and len(cluster.addresses) > 1:
        raise InputError(
            "folds: TF_CONFIG names several machines, which train one network in step; train the "
            "folds one by one with fold, or each on a machine of its own without TF_CONFIG, and "
            "then all on one"
        )


def _record(runs: list[RunFolder]) -> FoldsRecord:
    reports = [EvaluationReport.read(run.validation_report).overall for run in runs]
    return FoldsRecord(
        members=[run.path.name for run in runs],
        measures={name: [report.get(name) for report in reports] for name in reports[0]},
    )


def _out_of_fold(
    whole: RunFolder,
    config: TrainingConfig,
    opened: data.LabeledImages,
    folds: list[tuple[data.LabeledImages, data.LabeledImages]],
    runs: list[RunFolder],
    console: Console,
) -> EvaluationReport:
    """Choose what follows the networks on images that each has not seen, and evaluate that."""
    holder = {name: place for place, (_, held) in enumerate(folds) for name in held.names}
    predictors = [predictor_of_run(run, config, opened.mask_kind) for run in runs]

    def predictor_of(number: int) -> Predictor:
        return predictors[holder[opened.names[number]]]

    seconds = sum(run.read_history().seconds for run in runs)
    return choose_and_evaluate(whole, config, predictor_of, opened, None, seconds, console)
