"""Predictions in one byte per pixel."""

from __future__ import annotations

import numpy as np
import pytest

from keras_unet3p.postprocessing import MaskRule
from keras_unet3p.postprocessing.rule_search import THRESHOLDS
from keras_unet3p.workflow.kept_predictions import KeptPredictions


@pytest.mark.parametrize("most_in_memory", [2**26, 1])
def test_masks_are_those_of_the_probabilities(tmp_path, most_in_memory):
    rng = np.random.default_rng(0)
    steps = np.float32(THRESHOLDS)
    around = np.concatenate([np.nextafter(steps, 0), steps, np.nextafter(steps, 1), [np.nan, 0, 1]])
    images = [rng.choice(around, shape).astype(np.float32) for shape in ((20, 30), (7, 11))]
    ids = rng.integers(0, 256, (5, 6), np.uint8)
    with KeptPredictions(iter([*images, ids]), tmp_path, most_in_memory=most_in_memory) as kept:
        assert len(kept) == 3
        assert not list(tmp_path.iterdir()), "the file has no name"
        for threshold in reversed(THRESHOLDS):
            rule = MaskRule(threshold, smallest_object=3, largest_hole=2)
            for number, image in enumerate(images):
                expected = rule.class_ids(image[..., None])
                np.testing.assert_array_equal(kept.class_ids(number, rule), expected)
            np.testing.assert_array_equal(kept.class_ids(2, MaskRule(threshold)), ids)


def test_an_error_of_the_network_comes_through(tmp_path):
    def predictions():
        yield np.zeros((2, 2), np.float32)
        raise MemoryError("tiles")

    with pytest.raises(MemoryError, match="tiles"):
        KeptPredictions(predictions(), tmp_path)
