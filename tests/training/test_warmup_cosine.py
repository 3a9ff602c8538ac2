"""The learning rate over a run."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_unet3p.training import WarmupCosine


def _rates(schedule, steps):
    return [schedule.rate(step, step / steps, (step + 1) / steps) for step in range(steps)]


@given(st.integers(1, 500), st.integers(0, 300))
def test_it_rises_to_the_peak_and_falls_to_nearly_nothing(steps, warmup):
    rates = _rates(WarmupCosine(0.1, warmup), steps)
    top = max(range(steps), key=rates.__getitem__)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    # 5 % of the cosine takes 0.6 % of the peak away.
    assert 0.099 * (1 if steps > 1 else 0) <= rates[top] <= 0.1
    assert top <= min(warmup, math.ceil(0.05 * steps))
    assert 0 < rates[-1] <= 0.1 * (math.pi / 2 / steps) ** 2 * 1.001 + (0.1 if steps == 1 else 0)


@pytest.mark.parametrize(
    ("steps", "warmup", "expected"), [(10_000, 200, 200), (1000, 200, 50), (1000, 0, 1)]
)
def test_the_warm_up_takes_its_steps_or_five_per_cent_of_the_run(steps, warmup, expected):
    rates = _rates(WarmupCosine(1.0, warmup), steps)
    cosine = [0.5 * (1 + math.cos(math.pi * step / steps)) for step in range(steps)]
    warm = [rate / full for rate, full in zip(rates, cosine, strict=True)]
    assert warm.index(pytest.approx(1.0)) + 1 == expected
    assert warm[0] == pytest.approx(1 / expected)
