"""The search for what follows a network."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet3p.postprocessing import MaskRule, search_instance_rule, search_rule
from keras_unet3p.postprocessing.rule_search import THRESHOLDS


def test_equal_scores_keep_the_default():
    choice = search_rule(lambda rules: [0.25] * len(rules))
    assert choice.rule == MaskRule()
    assert choice.score == choice.default_score == 0.25
    assert [threshold for threshold, _ in choice.curve] == list(THRESHOLDS)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9999), st.booleans())
def test_the_choice_is_never_worse_than_the_default(seed, has_threshold):
    rng = np.random.default_rng(seed)
    table: dict[MaskRule, float] = {}

    def scores(rules):
        return [table.setdefault(rule, float(rng.random())) for rule in rules]

    choice = search_rule(scores, has_threshold=has_threshold)
    assert choice.score == table[choice.rule]
    assert choice.default_score == table[MaskRule()]
    assert choice.score >= choice.default_score
    assert len(table) < 40
    assert search_rule(scores, has_threshold=has_threshold) == choice
    if not has_threshold:
        assert choice.rule.threshold == 0.5
        assert choice.curve == ()


def test_of_equally_good_thresholds_the_nearest_to_the_default_wins():
    choice = search_rule(lambda rules: [float(rule.threshold <= 0.4) for rule in rules])
    assert choice.rule == MaskRule(0.4)


def test_sizes_are_chosen_and_the_threshold_once_more():
    def scores(rules):
        return [
            (rule.smallest_object == 32)
            + (rule.largest_hole == 8)
            - abs(rule.threshold - (0.4 if rule.smallest_object else 0.5))
            for rule in rules
        ]

    assert search_rule(scores).rule == MaskRule(0.4, 32, 8)


@settings(deadline=None, max_examples=60)
@given(st.floats(0.01, 1), st.floats(0.01, 1))
def test_both_thresholds_of_instances_are_found_to_a_twentieth(mask, seed):
    """Low ones of the mask too, which cells between membranes take."""

    def scores(rules):
        return [-abs(rule.threshold - mask) - abs(rule.seed_threshold - seed) for rule in rules]

    found = search_instance_rule(scores).rule
    assert abs(found.threshold - min(max(mask, 0.05), 0.75)) <= 0.0501
    assert abs(found.seed_threshold - min(max(seed, 0.05), 0.95)) <= 0.0501
    assert 0 < found.threshold <= 1
