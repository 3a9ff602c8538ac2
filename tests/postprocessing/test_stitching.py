"""Instances window by window: those of the whole image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet3p.postprocessing import InstanceRule, instances_by_windows
from tests.postprocessing.instance_maps import MAPS, RULES, noisy_cells


@settings(max_examples=200, deadline=None)
@given(MAPS, RULES, st.integers(1, 9))
def test_the_ids_are_those_of_the_whole_image(maps, rule, window):
    found = np.full(maps.shape[:2], -1, np.int32)
    count = instances_by_windows(maps, found, rule, window=window)
    expected = rule.instances(maps)
    np.testing.assert_array_equal(found, expected)
    assert count == expected.max()


@pytest.mark.parametrize("window", [7, 64, 100, 1000])
@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64])
def test_no_cell_is_cut_at_a_window(window, dtype):
    _, maps = noisy_cells()
    rule, done = InstanceRule(seed_threshold=0.6), []
    found = np.zeros(maps.shape[:2], dtype)
    instances_by_windows(
        maps, found, rule, window=window, progress=lambda *numbers: done.append(numbers)
    )
    np.testing.assert_array_equal(found, rule.instances(maps))
    windows = (-(-maps.shape[0] // window)) ** 2
    assert done == [(number, 2 * windows) for number in range(1, 2 * windows + 1)]


class Recording:
    """Maps that know the largest piece that was read of them."""

    def __init__(self, maps):
        self._maps, self.shape, self.largest = maps, maps.shape, 0

    def __getitem__(self, place):
        window = self._maps[place]
        self.largest = max(self.largest, window.size)
        return window


def test_no_more_than_a_window_is_read_at_a_time():
    _, maps = noisy_cells()
    rule, recording = InstanceRule(smallest_seed=5), Recording(maps)
    instances_by_windows(recording, np.zeros(maps.shape[:2], np.int32), rule, window=32)
    assert recording.largest == (32 + 2 * 5) ** 2 * 2
    rule, recording = InstanceRule(smallest_seed=5, smoothing=3), Recording(maps)
    instances_by_windows(recording, np.zeros(maps.shape[:2], np.int32), rule, window=32)
    assert recording.largest == (32 + 2 * (5 + 3 * 2)) ** 2 * 2


@pytest.mark.parametrize(
    ("output", "window", "message"),
    [
        (np.zeros((8, 8), np.int32), 4, r"output must have shape \(8, 9\), found \(8, 8\)"),
        (np.zeros((8, 9), np.uint16), 4, "output must hold integers of 32 bits, found uint16"),
        (np.zeros((8, 9), np.float64), 4, "output must hold integers of 32 bits, found float64"),
        (np.zeros((8, 9), np.int32), 0, "window must be at least 1 pixel, found 0"),
    ],
)
def test_what_is_refused(output, window, message):
    with pytest.raises(ValueError, match=message):
        instances_by_windows(np.zeros((8, 9, 2)), output, InstanceRule(), window=window)
