"""What is left of a run, from its history."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_unet3p.training import Budget, Stretch


def _trained(budget, step_seconds, rows=()):
    """The rows of a run whose steps take the given times; those of a run that is finished."""
    rows = list(rows)
    while ahead := budget.ahead(rows):
        seconds, steps, progress = 0.0, 0, ahead.progress
        while steps < budget.steps_per_epoch and progress < 1:
            seconds += next(step_seconds)
            steps += 1
            progress = ahead.progress_after(steps, seconds)
        row = {"epoch": len(rows) + 1, "progress": progress, "seconds": seconds, "steps": steps}
        rows.append({**row, **({"hours": budget.hours} if budget.hours else {})})
    return rows


@given(st.integers(1, 9), st.integers(1, 40))
def test_epochs_are_annealed_evenly_and_end_at_one(steps, epochs):
    rows = _trained(Budget(steps, epochs=epochs), itertools.repeat(1.0))
    assert [row["steps"] for row in rows] == [steps] * epochs
    assert rows[-1]["progress"] == 1
    shares = [(number + 1) / epochs for number in range(epochs)]
    assert [row["progress"] for row in rows] == pytest.approx(shares)


@given(st.integers(1, 40), st.integers(1, 400), st.floats(0, 0.3), st.integers(0, 10**6))
def test_a_run_of_hours_takes_its_time_and_is_annealed_at_its_end(
    steps_per_epoch, steps, spread, seed
):
    rng = random.Random(seed)
    seconds = (1 + spread * rng.uniform(-1, 1) for _ in itertools.count())
    rows = _trained(Budget(steps_per_epoch, hours=steps / 3600), seconds)
    used = sum(row["seconds"] for row in rows)
    # Half an epoch that is left over is not begun, and a step is ended.
    assert steps - 0.5 * steps_per_epoch * (1 + 2 * spread) - 2 <= used
    assert used <= steps + 2 * spread * steps_per_epoch + 2
    assert rows[-1]["progress"] == 1 or used > steps - 2


def test_an_epoch_that_is_longer_than_the_budget_ends_with_it():
    rows = _trained(Budget(1000, hours=1.0), itertools.repeat(60.0))
    assert [row["steps"] for row in rows] == [60]
    assert rows[-1]["progress"] == 1


def test_a_last_epoch_is_shorter_rather_than_left_out():
    rows = _trained(Budget(100, hours=1.0), itertools.repeat(22.5))
    assert [row["steps"] for row in rows] == [100, 60]
    assert [row["progress"] for row in rows] == pytest.approx([0.625, 1])


def test_a_finished_run_that_is_given_more_begins_another_annealing():
    rows = _trained(Budget(10, epochs=4), itertools.repeat(1.0))
    assert Budget(10, epochs=4).ahead(rows) is None
    assert Budget(10, epochs=3).ahead(rows) is None
    assert Budget(10, epochs=6).ahead(rows) == Stretch(0, 0.0, 20)
    longer = _trained(Budget(10, epochs=6), itertools.repeat(1.0), rows)
    assert [row["progress"] for row in longer[4:]] == [0.5, 1]
    # A kill in between changes nothing.
    assert Budget(10, epochs=6).ahead(longer[:5]) == Stretch(10, 0.5, 10)
    # From epochs to hours: what was used counts.
    assert Budget(10, hours=100 / 3600).ahead(rows) == Stretch(0, 0.0, 60, pytest.approx(60))
    assert Budget(10, hours=30 / 3600).ahead(rows) is None


def test_time_that_is_left_over_is_no_reason_to_begin_again():
    rows = [{"epoch": 1, "progress": 1.0, "seconds": 60.0, "hours": 1.0}]
    assert Budget(10, hours=1.0).ahead(rows) is None
    assert Budget(10, hours=0.5).ahead(rows) is None
    assert Budget(10, hours=2.0).ahead(rows).progress == 0


def test_a_run_that_is_given_more_before_its_end_spreads_its_annealing():
    rows = _trained(Budget(10, epochs=4), itertools.repeat(1.0))[:2]
    assert Budget(10, epochs=8).ahead(rows) == Stretch(20, 0.5, 60)
