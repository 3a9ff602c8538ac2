"""What a training leaves behind beside its network: the masks' rule, measures and pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
from rich.console import Console

from keras_unet3p import data
from keras_unet3p.artifacts import EvaluationReport, PostprocessingRecord, RunFolder
from keras_unet3p.config import TrainingConfig
from keras_unet3p.postprocessing import InstanceRule, MaskRule, parted
from keras_unet3p.reports import write_run_page
from keras_unet3p.workflow.evaluation import evaluate_images
from keras_unet3p.workflow.kept_arrays import KeptArrays
from keras_unet3p.workflow.kept_predictions import KeptPredictions
from keras_unet3p.workflow.opening import open_model, rule_of
from keras_unet3p.workflow.predictor import Predictor
from keras_unet3p.workflow.tuning import tune, tune_instances


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
    learns_distance = config.learns_distance(validation.mask_kind)
    predictor = open_model(run.path, rule=InstanceRule() if learns_distance else MaskRule())
    if not config.tuning:
        run.postprocessing.unlink(missing_ok=True)
        return evaluate_images(predictor, validation, run.validation)
    best = run.read_history().best()
    epoch = None if best is None else int(best["epoch"])
    if learns_distance:
        return _evaluate_instances(run, config, predictor, validation, epoch, console)
    segment = _segmentation(predictor, validation)
    numbers = range(len(validation))
    with contextlib.ExitStack() as stack:
        found, maps = map(segment, numbers), None
        if config.measure == "rand":
            maps = stack.enter_context(KeptArrays(found, run.path))
            found = map(maps.__getitem__, numbers)
        kept = stack.enter_context(KeptPredictions(found, run.path))
        chosen = tune(
            kept,
            validation,
            measure=config.measure,
            separation=config.separation,
            epoch=epoch,
            maps=maps,
        )
        rule = _keep(chosen, run, predictor, console)

        def labels(number: int) -> np.ndarray:
            if isinstance(rule, MaskRule):
                return kept.class_ids(number, rule)
            assert maps is not None, "an instance rule is chosen on them"
            return parted(rule.instances(maps[number]))

        return evaluate_images(predictor, validation, run.validation, labels=labels)


def _evaluate_instances(
    run: RunFolder,
    config: TrainingConfig,
    predictor: Predictor,
    validation: data.LabeledImages,
    epoch: int | None,
    console: Console,
) -> EvaluationReport:
    probabilities = predictor.probabilities
    assert probabilities is not None, "the network is at hand"
    maps = (probabilities(validation.stored(number)[0]) for number in range(len(validation)))
    with KeptArrays(maps, run.path) as kept:
        chosen = tune_instances(kept, validation, measure=config.measure, epoch=epoch)
        rule = _keep(chosen, run, predictor, console)
        assert isinstance(rule, InstanceRule)
        return evaluate_images(
            predictor,
            validation,
            run.validation,
            labels=lambda number: rule.instances(kept[number]),
        )


def _keep(
    chosen: PostprocessingRecord, run: RunFolder, predictor: Predictor, console: Console
) -> MaskRule | InstanceRule:
    """Write what was chosen, and say it."""
    chosen.write(run.postprocessing)
    sentence = _sentence(chosen, predictor.num_classes == 1)
    console.print(sentence, highlight=False, soft_wrap=True)
    return rule_of(chosen)


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
    if chosen.gives_instances:
        parts.append(f"seeds from {chosen.seed_threshold:g} of {chosen.smallest_seed} pixels on")
    if chosen.smallest_object:
        parts.append(f"objects below {chosen.smallest_object} pixels removed")
    if chosen.largest_hole:
        parts.append(f"holes up to {chosen.largest_hole} pixels filled")
    what = ", ".join(parts) or "nothing removed"
    return (
        f"after the network: {what}; {chosen.measure_name} of the validation images "
        f"{chosen.score:.4f}, by default {chosen.default_score:.4f}"
    )
