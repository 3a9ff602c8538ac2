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
    predictor = predictor_of_run(run, config, validation.mask_kind)
    best = run.read_history().best()
    epoch = None if best is None else int(best["epoch"])
    report = choose_and_evaluate(run, config, lambda _: predictor, validation, epoch, console)
    write_run_page(run)
    return report


def predictor_of_run(run: RunFolder, config: TrainingConfig, mask_kind: str) -> Predictor:
    """The best network of a run, with the rule that follows it by default.

    Example:
        >>> predictor_of_run(RunFolder("runs/cells"), config, "binary")  # doctest: +SKIP
    """
    learns_distance = config.learns_distance(mask_kind)
    return open_model(run.path, rule=InstanceRule() if learns_distance else MaskRule())


def choose_and_evaluate(
    run: RunFolder,
    config: TrainingConfig,
    predictor_of: Callable[[int], Predictor],
    validation: data.LabeledImages,
    epoch: int | None,
    console: Console,
) -> EvaluationReport:
    """Choose the rule that follows the network of each image, and evaluate its masks.

    Args:
        run: the folder that gets `postprocessing.json` and `validation/`.
        config: the choices of the training.
        predictor_of: gives the predictor of an image by its number; all of them with the default
            rule and of one training.
        validation: the images, none of which its predictor has learnt from.
        epoch: of the network, for the record.
        console: where to say what was chosen.

    Example:
        >>> choose_and_evaluate(
        ...     run, config, lambda number: predictor, images, 3, Console()
        ... )  # doctest: +SKIP
    """
    predictor = predictor_of(0)
    if not config.tuning:
        run.postprocessing.unlink(missing_ok=True)

        def untuned(number: int) -> np.ndarray:
            segment = predictor_of(number).instances or predictor_of(number).labels
            return segment(validation.stored(number)[0])

        return evaluate_images(predictor, validation, run.validation, labels=untuned)
    if config.learns_distance(validation.mask_kind):
        return _evaluate_instances(run, config, predictor_of, validation, epoch, console)
    segment = _segmentation(predictor_of, validation)
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
    predictor_of: Callable[[int], Predictor],
    validation: data.LabeledImages,
    epoch: int | None,
    console: Console,
) -> EvaluationReport:
    predictor = predictor_of(0)
    maps = (
        _probabilities(predictor_of(number), validation.stored(number)[0])
        for number in range(len(validation))
    )
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


def _probabilities(predictor: Predictor, image: np.ndarray) -> np.ndarray:
    assert predictor.probabilities is not None, "the network is at hand"
    return predictor.probabilities(image)


def _segmentation(
    predictor_of: Callable[[int], Predictor], images: data.LabeledImages
) -> Callable[[int], np.ndarray]:
    """What a search needs of an image: the probability of one class, or class ids of several."""

    def segment(number: int) -> np.ndarray:
        image, predictor = images.stored(number)[0], predictor_of(number)
        if predictor.num_classes == 1:
            return _probabilities(predictor, image)[..., 0]
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
