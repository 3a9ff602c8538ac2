"""Plans: valid for any data and machine, and what is expected of real sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_unet3p.config import ARCHITECTURES
from keras_unet3p.planning import Fingerprint, Machine, Plan, make_plan

GOLDEN = Path(__file__).parent / "golden"
MACHINE = Machine(
    cores=2, gpus=0, filters=16, step_seconds={"float32": 0.6, "mixed_bfloat16": 0.45}
)

_FINGERPRINTS = st.builds(
    Fingerprint,
    images=st.integers(1, 10**6),
    channels=st.integers(1, 8),
    mask_kind=st.sampled_from(["binary", "classes", "instances"]),
    num_classes=st.integers(1, 20),
    median_side=st.integers(4, 20_000),
    smallest_side=st.integers(1, 20_000),
    total_pixels=st.integers(1, 10**12),
    labeled_share=st.floats(0.001, 1),
    foreground_share=st.floats(0, 1),
    contrast_spread=st.floats(1, 1000),
    neighbours_alike=st.floats(0, 2),
    objects_per_image=st.none() | st.floats(0, 10**5),
    object_radius=st.none() | st.floats(0.5, 500),
    touching_share=st.none() | st.floats(0, 1),
)
_MACHINES = st.builds(
    Machine,
    cores=st.integers(1, 256),
    gpus=st.integers(0, 8),
    filters=st.sampled_from([16, 32]),
    step_seconds=st.fixed_dictionaries(
        {"float32": st.floats(0.001, 100)},
        optional={"mixed_bfloat16": st.floats(0.001, 100), "mixed_float16": st.floats(0.001, 100)},
    ),
)
_FIXED = st.fixed_dictionaries(
    {},
    optional={
        "architecture": st.sampled_from(list(ARCHITECTURES)),
        "patch_size": st.sampled_from([64, 256]),
        "batch_size": st.integers(1, 8),
        "learning_rate": st.floats(1e-5, 1e-1),
        "normalization": st.just("set"),
        "loss": st.sampled_from(["dice", "focal"]),
        "seed": st.integers(0, 99),
        "mixed_precision": st.sampled_from(["mixed_bfloat16", "mixed_float16"]),
    },
)


@given(_FINGERPRINTS, _MACHINES, st.floats(0.01, 100), _FIXED)
def test_every_plan_is_a_configuration(fingerprint, machine, hours, fixed):
    plan = make_plan(fingerprint, machine, hours, **fixed)
    config = plan.config()
    assert make_plan(fingerprint, machine, hours, **fixed) == plan
    for name, value in fixed.items():
        assert getattr(config, name) == value
        assert next(line.reason for line in plan.lines if line.name == name) == "given"
    assert config.hours == hours
    assert plan.steps >= 1
    assert plan.step_seconds > 0
    assert all(line.reason for line in plan.lines)
    assert len({line.name for line in plan.lines}) == len(plan.lines)
    assert make_plan(fingerprint, machine, 2 * hours, **fixed).steps >= plan.steps


@given(_FINGERPRINTS, _MACHINES)
def test_epochs_leave_the_time_open(fingerprint, machine):
    plan = make_plan(fingerprint, machine, None, epochs=3)
    assert (plan.config().epochs, plan.config().hours, plan.steps) == (3, None, 0)


def test_a_network_to_begin_with_keeps_its_architecture():
    fingerprint = Fingerprint.read(GOLDEN / "nuclei.fingerprint.json")
    names = {line.name for line in make_plan(fingerprint, MACHINE, init="a.keras").lines}
    assert "init" in names
    assert not names & {"architecture", "filters", "depth", "batch_norm"}


@pytest.mark.parametrize("name", ["isbi2012", "hela", "nuclei"])
def test_the_plans_of_real_sets(name):
    """As they were when the rules were last changed on purpose.

    The fingerprints are those of the sets; to write the plans anew, run this file as a script.
    """
    fingerprint = Fingerprint.read(GOLDEN / f"{name}.fingerprint.json")
    expected = Plan.read(GOLDEN / f"{name}.plan.json")
    assert make_plan(fingerprint, MACHINE, hours=1.0) == expected


def test_what_the_rules_say_of_real_sets():
    plans = {
        name: make_plan(Fingerprint.read(GOLDEN / f"{name}.fingerprint.json"), MACHINE).config()
        for name in ("isbi2012", "hela", "nuclei")
    }
    assert plans["isbi2012"].contiguous_validation
    assert plans["hela"].contiguous_validation
    assert not plans["nuclei"].contiguous_validation
    assert (plans["nuclei"].patch_size, plans["nuclei"].batch_size) == (128, 16)
    assert (plans["hela"].patch_size, plans["hela"].batch_size) == (256, 4)
    assert plans["nuclei"].learns_distance("instances")


def test_hours_out_of_range():
    fingerprint = Fingerprint.read(GOLDEN / "nuclei.fingerprint.json")
    with pytest.raises(ValueError, match="hours must be above 0, found 0"):
        make_plan(fingerprint, MACHINE, 0)
    with pytest.raises(ValueError, match="nonsense"):
        make_plan(fingerprint, MACHINE, nonsense=1)


def test_a_gpu_gets_a_wider_network():
    fingerprint = Fingerprint.read(GOLDEN / "hela.fingerprint.json")
    machine = Machine(cores=8, gpus=1, filters=32, step_seconds={"float32": 0.05})
    assert make_plan(fingerprint, machine).config().filters == 32


if __name__ == "__main__":
    for path in GOLDEN.glob("*.fingerprint.json"):
        plan = make_plan(Fingerprint.read(path), MACHINE, hours=1.0)
        plan.write(path.with_name(path.name.replace("fingerprint", "plan")))
        print(json.dumps(plan.to_dict(), indent=1))
