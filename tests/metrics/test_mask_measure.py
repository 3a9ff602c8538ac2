"""Measures that add up over images, against those of `evaluate_labels`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet3p import config, metrics
from keras_unet3p.metrics._labels import overlaps
from keras_unet3p.metrics.mask_measure import AP_THRESHOLDS
from keras_unet3p.postprocessing import connected_regions


def _masks(seed, count=3, highest=1):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield tuple(rng.integers(0, highest + 1, (12, 14)).repeat(2, 0) for _ in range(2))


def test_the_configuration_knows_them():
    assert set(metrics.MASK_MEASURES) == set(config.MEASURES)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 999))
def test_objects_are_measured_as_in_an_evaluation(seed):
    pairs = [tuple(connected_regions(mask)[0] for mask in masks) for masks in _masks(seed)]
    pairs.append((np.zeros((4, 4), int), np.zeros((4, 4), int)))
    summary = metrics.summarize_evaluations(
        [
            metrics.evaluate_labels(*pair, mask_kind="instances", object_thresholds=AP_THRESHOLDS)
            for pair in pairs
        ]
    )
    expected = {
        "dice": summary["dice"],
        "seg": summary["seg"],
        "rand": 1 - summary["rand_error"],
        "ap": np.mean([summary[f"average_precision@{t:g}"] for t in AP_THRESHOLDS]),
    }
    for name, value in expected.items():
        measure = metrics.MASK_MEASURES[name]
        total = sum(measure.counts(*pair, 2) for pair in pairs)
        assert measure.score(total) == pytest.approx(value), name


def test_dice_of_classes_is_that_of_an_evaluation():
    pairs = list(_masks(1, highest=3))
    evaluations = [
        metrics.evaluate_labels(*pair, mask_kind="classes", num_classes=5) for pair in pairs
    ]
    measure = metrics.MASK_MEASURES["dice"]
    found = measure.score(sum(measure.counts(*pair, 5) for pair in pairs))
    assert found == pytest.approx(metrics.summarize_evaluations(evaluations)["dice"])


@pytest.mark.parametrize("name", metrics.MASK_MEASURES)
def test_nothing_found_of_nothing_is_perfect(name):
    measure = metrics.MASK_MEASURES[name]
    empty = np.zeros((4, 4), int)
    assert measure.score(measure.counts(empty, empty, 2)) == 1.0


def test_overlaps_of_large_and_of_small_ids_are_equal():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 9, (2, 30, 40))
    small = overlaps(truth, prediction)
    large = overlaps(truth * 10**9, prediction * 10**6)
    for one, other in zip(small, large, strict=True):
        np.testing.assert_array_equal(one, other)
