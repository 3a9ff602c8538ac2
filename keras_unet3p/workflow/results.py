"""What a training leaves behind beside its network: the masks' rule, measures and pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rich.console import Console

from keras_unet3p import data
from keras_unet3p.artifacts import EvaluationReport, PostprocessingRecord, RunFolder
from keras_unet3p.config import TrainingConfig
from keras_unet3p.postprocessing import MaskRule
from keras_unet3p.reports import write_run_page
from keras_unet3p.workflow.evaluation import evaluate_images
from keras_unet3p.workflow.kept_predictions import KeptPredictions
from keras_unet3p.workflow.opening import open_model, rule_of
from keras_unet3p.workflow.predictor import Predictor
from keras_unet3p.workflow.tuning import tune


def write_results(
    run: RunFolder, config: TrainingConfig, validation: data.LabeledImages, console: Console
) -> EvaluationReport:
    """Choose what follows a run's best network, and compare its masks with the validation images'.

    Writes `postprocessing.json`, `validation/` and `report.html`. Every image is segmented once.

    Args:
        run: the folder of a run that is trained.
        config: its choices.
        validation: the held-out images.
        console: where to say what was chosen.

    Example:
        >>> run = RunFolder("runs/cells")
        >>> write_results(run, config, validation, Console())  # doctest: +SKIP
    """
    report = _evaluate(run, config, validation, console)
    write_run_page(run)
    return report


def _evaluate(
    run: RunFolder, config: TrainingConfig, validation: data.LabeledImages, console: Console
) -> EvaluationReport:
    predictor = open_model(run.path, rule=MaskRule())
    if not config.tuning:
        run.postprocessing.unlink(missing_ok=True)
        return evaluate_images(predictor, validation, run.validation)
    best = run.read_history().best()
    segment = _segmentation(predictor, validation)
    with KeptPredictions(map(segment, range(len(validation))), run.path) as kept:
        chosen = tune(
            kept,
            validation,
            measure=config.measure,
            separation=config.separation,
            epoch=None if best is None else int(best["epoch"]),
        )
        chosen.write(run.postprocessing)
        sentence = _sentence(chosen, predictor.num_classes == 1)
        console.print(sentence, highlight=False, soft_wrap=True)
        rule = rule_of(chosen)
        return evaluate_images(
            predictor,
            validation,
            run.validation,
            class_ids=lambda number: kept.class_ids(number, rule),
        )


def _segmentation(predictor: Predictor, images: data.LabeledImages) -> Callable[[int], np.ndarray]:
    """What a search needs of an image: the probability of one class, or class ids of several."""
    probabilities = predictor.probabilities
    assert probabilities is not None, "the network is at hand"

    def segment(number: int) -> np.ndarray:
        image = images.stored(number)[0]
        if predictor.num_classes == 1:
            return probabilities(image)[..., 0]
        return predictor.labels(image)

    return segment


def _sentence(chosen: PostprocessingRecord, has_threshold: bool) -> str:
    parts = [f"threshold {chosen.threshold:g}"] if has_threshold else []
    if chosen.smallest_object:
        parts.append(f"objects below {chosen.smallest_object} pixels removed")
    if chosen.largest_hole:
        parts.append(f"holes up to {chosen.largest_hole} pixels filled")
    what = ", ".join(parts) or "nothing removed"
    return (
        f"after the network: {what}; {chosen.measure_name} of the validation images "
        f"{chosen.score:.4f}, by default {chosen.default_score:.4f}"
    )
