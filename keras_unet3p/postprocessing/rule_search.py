"""The rule after a network that does best by a measure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from keras_unet3p.postprocessing.instance_rule import InstanceRule
from keras_unet3p.postprocessing.mask_rule import MaskRule

THRESHOLDS = tuple(number / 20 for number in range(2, 19))
"""The thresholds that are tried, 0.1 to 0.9; the default is one of them."""
SIZES = (8, 16, 32, 64, 128, 256)
"""The numbers of pixels that are tried for the smallest object and the largest hole, beside 0."""
_NEAR = 2  # steps of the threshold that are tried again after the sizes
_EQUAL = 1e-9  # scores that differ by less are equal: sums of floats

SEED_THRESHOLDS = tuple(number / 20 for number in range(2, 20, 2))
"""The thresholds of seeds that are tried first, 0.1 to 0.9."""
_MASK_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # cells in membranes take low ones
_FINE = 0.05
_SEED_SIZES = (1, 16)
_SMOOTHINGS = (1, 2)
_OBJECT_SIZES = (0, 8, 32, 64, 128)

Scores = Callable[[Sequence[MaskRule]], Sequence[float]]
"""The score of each of a few rules, the larger the better."""
_Rule = TypeVar("_Rule", MaskRule, InstanceRule)


class RuleChoice(NamedTuple):
    """The rule that does best, and what it gains.

    Attributes:
        rule: the best one; never worse than `MaskRule()`, which wins where nothing is better.
        score: its score.
        default_score: that of `MaskRule()`.
        curve: pairs of a threshold and its score, nothing removed; empty without a threshold. Of
            instances the threshold of the seeds.

    Example:
        >>> RuleChoice(MaskRule(0.4), score=0.8, default_score=0.7, curve=()).rule.threshold
        0.4
    """

    rule: MaskRule | InstanceRule
    score: float
    default_score: float
    curve: tuple[tuple[float, float], ...]


def search_rule(scores: Scores, *, has_threshold: bool = True) -> RuleChoice:
    """Look for the rule with the largest score: the threshold first, then objects, then holes.

    One after the other, and the threshold's neighbours once more at the end: about 30 rules instead
    of all combinations. `scores` gets several rules at a time, so that it can go through the images
    once for all of them. The same scores give the same rule.

    Args:
        scores: gives the score of each rule that it gets.
        has_threshold: whether a threshold decides, as with one class.

    Example:
        >>> choice = search_rule(lambda rules: [-abs(rule.threshold - 0.3) for rule in rules])
        >>> choice.rule
        MaskRule(threshold=0.3, smallest_object=0, largest_hole=0)
        >>> search_rule(lambda rules: [1.0 for rule in rules]).rule == MaskRule()
        True
    """
    default = MaskRule()
    best, best_score, curve = default, 0.0, ()
    if has_threshold:
        rules = [MaskRule(threshold) for threshold in THRESHOLDS]
        found = list(scores(rules))
        curve = tuple(zip(THRESHOLDS, found, strict=True))
        default_score = best_score = found[rules.index(default)]
        best, best_score = _better(best, best_score, rules, found)
    else:
        (default_score,) = scores([default])
        best_score = default_score
    for name in ("smallest_object", "largest_hole"):
        rules = [dataclasses.replace(best, **{name: size}) for size in SIZES]
        best, best_score = _better(best, best_score, rules, scores(rules))
    if has_threshold and (best.smallest_object or best.largest_hole):
        place = THRESHOLDS.index(best.threshold)
        near = THRESHOLDS[max(place - _NEAR, 0) : place + _NEAR + 1]
        rules = [
            dataclasses.replace(best, threshold=threshold)
            for threshold in near
            if threshold != best.threshold
        ]
        best, best_score = _better(best, best_score, rules, scores(rules))
    return RuleChoice(best, best_score, default_score, curve)


def search_instance_rule(
    scores: Callable[[Sequence[InstanceRule]], Sequence[float]],
) -> RuleChoice:
    """Look for the instance rule with the largest score, one number after the other.

    The seeds' threshold first, then the mask's, then the smoothing, then the sizes, then the
    neighbours of both thresholds: about 30 rules.

    Args:
        scores: gives the score of each rule that it gets.

    Example:
        >>> choice = search_instance_rule(
        ...     lambda rules: [-abs(rule.seed_threshold - 0.65) for rule in rules]
        ... )
        >>> choice.rule
        InstanceRule(threshold=0.5, seed_threshold=0.65, smallest_seed=4, ..., smoothing=0)
    """
    default = InstanceRule()
    rules = [dataclasses.replace(default, seed_threshold=value) for value in SEED_THRESHOLDS]
    if default not in rules:
        rules.append(default)
    found = [float(score) for score in scores(rules)]
    default_score = found[rules.index(default)]
    curve = tuple(sorted((r.seed_threshold, s) for r, s in zip(rules, found, strict=True)))
    best, best_score = _best_of(default, default_score, rules, found)

    def try_values(**values: Sequence[float]) -> None:
        nonlocal best, best_score
        for name, tried in values.items():
            rules = [
                dataclasses.replace(best, **{name: value})
                for value in tried
                if value != getattr(best, name)
            ]
            best, best_score = _best_of(best, best_score, rules, scores(rules))

    try_values(threshold=_MASK_THRESHOLDS)
    try_values(smoothing=_SMOOTHINGS)
    try_values(smallest_seed=_SEED_SIZES, smallest_object=_OBJECT_SIZES)
    for name in ("seed_threshold", "threshold"):
        near = (round(getattr(best, name) + step, 4) for step in (-_FINE, _FINE))
        try_values(**{name: [value for value in near if 0 < value <= 1]})
    return RuleChoice(best, best_score, default_score, curve)


def _best_of(
    best: _Rule, best_score: float, rules: Sequence[_Rule], found: Sequence[float]
) -> tuple[_Rule, float]:
    """The best of all; of equal ones the earlier."""
    for rule, score in zip(rules, found, strict=True):
        if score > best_score + _EQUAL:
            best, best_score = rule, float(score)
    return best, best_score


def _better(
    best: MaskRule, best_score: float, rules: Sequence[MaskRule], found: Sequence[float]
) -> tuple[MaskRule, float]:
    """As `_best_of`; of equal ones then the one with the threshold nearest to the best before."""
    pairs = sorted(
        zip(rules, found, strict=True), key=lambda pair: abs(pair[0].threshold - best.threshold)
    )
    return _best_of(best, best_score, *zip(*pairs, strict=True))
