"""What a training leaves behind beside its network: the masks' rule, measures and pictures."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

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

VERSIONS = 8
"""Mirrored and turned versions of a tile whose mean is tried."""
SHARE_OF_TRAINING = 0.05
"""They are tried where that takes at most so much of the training's time."""
ENOUGH = 0.05
"""They are taken where they remove at least so much of what a score lacks to 1: every image then
takes 8 times the time."""


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
    history = run.read_history()
    best = history.best()
    epoch = None if best is None else int(best["epoch"])
    report = choose_and_evaluate(
        run, config, lambda _: predictor, validation, epoch, history.seconds, console
    )
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
    seconds: float,
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
        seconds: of the training; the mean over mirrored and turned versions is tried where that
            takes a small share of them.
        console: where to say what was chosen.

    Example:
        >>> choose_and_evaluate(
        ...     run, config, lambda number: predictor, images, 3, 3600.0, Console()
        ... )  # doctest: +SKIP
    """
    predictor = predictor_of(0)
    if not config.tuning:
        run.postprocessing.unlink(missing_ok=True)

        def untuned(number: int) -> np.ndarray:
            segment = predictor_of(number).instances or predictor_of(number).labels
            return segment(validation.stored(number)[0])

        return evaluate_images(predictor, validation, run.validation, labels=untuned)
    with contextlib.ExitStack() as stack:

        def tuned(predictor_of: Callable[[int], Predictor]) -> _Tuned:
            return stack.enter_context(_tuned(run, config, predictor_of, validation, epoch))

        found = tuned(predictor_of)
        wanted = config.test_time_augmentation
        cost = found.seconds * VERSIONS
        if wanted is True or (wanted == "auto" and cost <= SHARE_OF_TRAINING * seconds):
            found = _of_both(found, tuned(lambda number: _averaged(predictor_of(number))), wanted)
        found.record.write(run.postprocessing)
        sentence = _sentence(found.record, predictor.num_classes == 1)
        console.print(sentence, highlight=False, soft_wrap=True)
        return evaluate_images(predictor, validation, run.validation, labels=found.labels)


class _Tuned(NamedTuple):
    """What was chosen to follow a network, what it makes of each image, and the network's time."""

    record: PostprocessingRecord
    labels: Callable[[int], np.ndarray]
    seconds: float


@contextlib.contextmanager
def _tuned(
    run: RunFolder,
    config: TrainingConfig,
    predictor_of: Callable[[int], Predictor],
    validation: data.LabeledImages,
    epoch: int | None,
) -> Iterator[_Tuned]:
    numbers, began = range(len(validation)), time.monotonic()
    with contextlib.ExitStack() as stack:

        def kept_maps(maps: Iterable[np.ndarray]) -> KeptArrays:
            return stack.enter_context(KeptArrays(maps, run.path))

        if config.learns_distance(validation.mask_kind):
            maps = kept_maps(
                _probabilities(predictor_of(number), validation.stored(number)[0])
                for number in numbers
            )
            seconds = time.monotonic() - began
            chosen = tune_instances(maps, validation, measure=config.measure, epoch=epoch)
            rule = rule_of(chosen)
            assert isinstance(rule, InstanceRule)
            yield _Tuned(chosen, lambda number: rule.instances(maps[number]), seconds)
            return
        found, maps = map(_segmentation(predictor_of, validation), numbers), None
        if config.measure == "rand":
            maps = kept_maps(found)
            found = map(maps.__getitem__, numbers)
        kept = stack.enter_context(KeptPredictions(found, run.path))
        seconds = time.monotonic() - began
        chosen = tune(
            kept,
            validation,
            measure=config.measure,
            separation=config.separation,
            epoch=epoch,
            maps=maps,
        )
        rule = rule_of(chosen)

        def labels(number: int) -> np.ndarray:
            if isinstance(rule, MaskRule):
                return kept.class_ids(number, rule)
            assert maps is not None, "an instance rule is chosen on them"
            return parted(rule.instances(maps[number]))

        yield _Tuned(chosen, labels, seconds)


def _averaged(predictor: Predictor) -> Predictor:
    assert predictor.averaged is not None, "the network is at hand"
    return predictor.averaged(VERSIONS)


def _of_both(single: _Tuned, averaged: _Tuned, wanted: str | bool) -> _Tuned:
    """The one to take, with the scores of both."""
    scores = single.record.score, averaged.record.score
    is_taken = wanted is True or scores[1] - scores[0] >= ENOUGH * (1 - scores[0])
    taken = averaged if is_taken else single
    record = taken.record.model_copy(
        update={
            "test_time_augmentation": VERSIONS if is_taken else 1,
            "default_score": single.record.default_score,
            "single_score": scores[0],
            "averaged_score": scores[1],
        }
    )
    return taken._replace(record=record)


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
    if chosen.smoothing:
        parts.append(f"maps smoothed {chosen.smoothing} times")
    if chosen.smallest_object:
        parts.append(f"objects below {chosen.smallest_object} pixels removed")
    if chosen.largest_hole:
        parts.append(f"holes up to {chosen.largest_hole} pixels filled")
    what = ", ".join(parts) or "nothing removed"
    sentence = (
        f"after the network: {what}; {chosen.measure_name} of the validation images "
        f"{chosen.score:.4f}, by default {chosen.default_score:.4f}"
    )
    if chosen.averaged_score is None:
        return sentence
    took = "taken" if chosen.test_time_augmentation > 1 else "not taken"
    return (
        f"{sentence}; the mean over {VERSIONS} mirrored and turned versions, in {VERSIONS} times "
        f"the time, {chosen.averaged_score:.4f} instead of {chosen.single_score:.4f}: {took}"
    )
