"""What follows a network, chosen on the validation images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from keras_unet3p import data, metrics, postprocessing
from keras_unet3p.artifacts import PostprocessingRecord
from keras_unet3p.config import MEASURES_OF_OBJECTS
from keras_unet3p.errors import InputError
from keras_unet3p.workflow.kept_arrays import KeptArrays
from keras_unet3p.workflow.kept_predictions import KeptPredictions

_Rule = TypeVar("_Rule", postprocessing.MaskRule, postprocessing.InstanceRule)


def fitting_measure(measure: str, mask_kind: str) -> str:
    """The measure that "auto" stands for; a measure that was named, where it fits the masks.

    Args:
        measure: a name of `config.MEASURES`, or "auto".
        mask_kind: "binary", "classes" or "instances".

    Raises:
        ValueError: classes have no objects to measure.

    Example:
        >>> fitting_measure("auto", "instances"), fitting_measure("auto", "classes")
        ('ap', 'dice')
    """
    if measure == "auto":
        return "ap" if mask_kind == "instances" else "dice"
    if measure in MEASURES_OF_OBJECTS and mask_kind == "classes":
        raise InputError(
            f"measure: {measure!r} compares objects, and the masks hold classes; expected 'dice'"
        )
    return measure


def tune(
    kept: KeptPredictions,
    opened: data.LabeledImages,
    *,
    measure: str = "auto",
    separation: int = 1,
    epoch: int | None = None,
    maps: KeptArrays | None = None,
) -> PostprocessingRecord:
    """Choose the rule after a network by a measure of its masks.

    Args:
        kept: what the network says of each image.
        opened: the images and their true masks.
        measure: see `fitting_measure`.
        separation: of touching instances in training; see `data.separate_instances`.
        epoch: that of the network, for the record.
        maps: the probabilities (H, W) of each image. Then a seeded watershed on them is tried too,
            an `InstanceRule`, and chosen where it does better: cells between membranes part along
            the ridge of a membrane that no threshold closes.

    Returns:
        What was chosen; never worse on these images than a threshold of 0.5 with nothing removed.

    Example:
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 1
        >>> opened = data.open_images([mask * 99], [mask], mask_kind="binary")
        >>> with KeptPredictions([mask * np.float32(0.4)]) as kept:
        ...     chosen = tune(kept, opened)
        >>> chosen.threshold, chosen.score, chosen.default_score
        (0.4, 1.0, 0.0)
    """
    measure = fitting_measure(measure, opened.mask_kind)
    counted = metrics.MASK_MEASURES[measure]
    of_objects = measure in MEASURES_OF_OBJECTS

    def labels(class_ids: np.ndarray, is_truth: bool) -> np.ndarray:
        if opened.mask_kind == "instances":
            return class_ids if is_truth else postprocessing.label_instances(class_ids, separation)
        return postprocessing.connected_regions(class_ids)[0] if of_objects else class_ids

    def cleaned(number: int, rule: postprocessing.MaskRule, labelled: np.ndarray) -> np.ndarray:
        ids = kept.class_ids(number, rule)
        return labels(ids if opened.ignore is None else ids * labelled, False)

    scores = _scores(cleaned, opened, labels, counted)
    choice = postprocessing.search_rule(scores, has_threshold=opened.num_classes == 1)
    if maps is not None:

        def grown(
            number: int, rule: postprocessing.InstanceRule, labelled: np.ndarray
        ) -> np.ndarray:
            return labels(postprocessing.parted(rule.instances(maps[number])), False) * labelled

        other = postprocessing.search_instance_rule(_scores(grown, opened, labels, counted))
        if other.score > choice.score:
            choice = other._replace(default_score=choice.default_score)
    return _record(choice, measure, opened, epoch)


def _scores(
    segment: Callable[[int, _Rule, np.ndarray], np.ndarray],
    opened: data.LabeledImages,
    of_truth: Callable[[np.ndarray, bool], np.ndarray],
    counted: metrics.MaskMeasure,
) -> Callable[[Sequence[_Rule]], list[float]]:
    """What gives the score of each of a few rules.

    `segment` gets the number of an image, the rule, and (H, W) where the image is labelled: as in
    `metrics.evaluate_labels`, nothing is found elsewhere.
    """

    def scores(rules: Sequence[_Rule]) -> list[float]:
        totals: list[np.ndarray] = [np.zeros(1)] * len(rules)
        for number in range(len(opened)):
            stored = opened.stored(number)[1]
            labelled = stored >= 0
            truth = of_truth(np.maximum(stored, 0), True)
            for place, rule in enumerate(rules):
                found = segment(number, rule, labelled)
                totals[place] = totals[place] + counted.counts(
                    truth, found, max(opened.num_classes, 2)
                )
        return [counted.score(total) for total in totals]

    return scores


def tune_instances(
    kept: KeptArrays,
    opened: data.LabeledImages,
    *,
    measure: str = "auto",
    epoch: int | None = None,
) -> PostprocessingRecord:
    """Choose the rule that makes instances of a network's maps by a measure of these instances.

    Args:
        kept: the maps (H, W, 2) of each image.
        opened: the images and their true masks, of instances.
        measure: see `fitting_measure`.
        epoch: that of the network, for the record.

    Returns:
        What was chosen; never worse on these images than `InstanceRule()`.

    Example:
        >>> ids = np.zeros((20, 20), np.uint8)
        >>> ids[2:18, 2:10], ids[2:18, 10:18] = 1, 2
        >>> opened = data.open_images([ids * 99], [ids], mask_kind="instances")
        >>> core = np.where(np.isin(np.arange(20), (9, 10)), 0.6, 0.9) * (ids > 0)
        >>> with KeptArrays([np.stack([ids > 0, core], -1).astype(np.float32)]) as kept:
        ...     chosen = tune_instances(kept, opened)
        >>> chosen.seed_threshold, chosen.score, chosen.default_score < 0.1
        (0.7, 1.0, True)
    """
    measure = fitting_measure(measure, opened.mask_kind)
    scores = _scores(
        lambda number, rule, labelled: rule.instances(kept[number]) * labelled,
        opened,
        lambda truth, is_truth: truth,
        metrics.MASK_MEASURES[measure],
    )
    return _record(postprocessing.search_instance_rule(scores), measure, opened, epoch)


def _record(
    choice: postprocessing.RuleChoice,
    measure: str,
    opened: data.LabeledImages,
    epoch: int | None,
) -> PostprocessingRecord:
    return PostprocessingRecord(
        **{"largest_hole": 0, **choice.rule.to_dict()},
        measure=measure,
        score=choice.score,
        default_score=choice.default_score,
        curve=list(choice.curve),
        epoch=epoch,
        images=len(opened),
    )
