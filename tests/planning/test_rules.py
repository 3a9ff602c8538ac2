"""Plans: valid for any data and machine, and what is expected of real sets."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_unet3p.config import ARCHITECTURES
from keras_unet3p.planning import Fingerprint, Machine, Plan, make_plan, memory, rules

GOLDEN = Path(__file__).parent / "golden"
MACHINE = Machine(
    cores=2,
    gpus=0,
    filters=16,
    step_seconds={"float32": 0.6, "mixed_bfloat16": 0.45},
    memory=8_000_000_000,
)

_FINGERPRINTS = st.builds(
    Fingerprint,
    images=st.integers(1, 10**6),
    channels=st.integers(1, 8),
    mask_kind=st.sampled_from(["binary", "classes", "instances"]),
    num_classes=st.integers(1, 20),
    median_side=st.integers(4, 20_000),
    total_pixels=st.integers(1, 10**12),
    labeled_share=st.floats(0.001, 1),
    foreground_share=st.floats(0, 1),
    contrast_spread=st.floats(1, 1000),
    neighbours_alike=st.floats(0, 2),
    objects_per_image=st.none() | st.floats(0, 10**5),
    object_radius=st.none() | st.floats(0.5, 500),
    touching_share=st.none() | st.floats(0, 1),
    bytes_per_pixel=st.none() | st.floats(0.1, 20),
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
    memory=st.none() | st.integers(1, 10**12),
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


def _rough_memory(config, fingerprint):
    """Grows with what the planner may shrink, without a network built for each example."""
    return config.batch_size * config.patch_size**2 * (config.filters or 64) * 100


_roughly = mock.patch.object(rules, "training_memory", _rough_memory)


@_roughly
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


@_roughly
@given(_FINGERPRINTS, _MACHINES, _FIXED)
def test_every_plan_fits_the_memory_or_is_as_small_as_it_may_be(fingerprint, machine, fixed):
    plan = make_plan(fingerprint, machine, **fixed)
    if machine.gpus:
        assert plan.memory is None
        return
    assert (plan.memory, plan.memory_limit) == (
        _rough_memory(plan.config(), fingerprint),
        machine.memory,
    )
    if machine.memory is not None and plan.memory > memory.SHARE * machine.memory:
        smallest = {"batch_size": 1, "patch_size": 64, "filters": 8}
        for line in plan.lines:
            if line.name in smallest and line.name not in fixed:
                assert line.value <= smallest[line.name]


@_roughly
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
    found = make_plan(fingerprint, MACHINE, hours=1.0)
    assert found.memory == pytest.approx(expected.memory, rel=0.35)  # the stacks take their own
    assert {**found.to_dict(), "memory": 0} == {**expected.to_dict(), "memory": 0}


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


def test_a_small_machine_gets_a_smaller_training():
    """The batch first, then patch and filters; why is said, and what is given stays."""
    fingerprint = Fingerprint.read(GOLDEN / "nuclei.fingerprint.json")

    def planned(size: int, **given) -> Plan:
        small = Machine(**{**MACHINE.to_dict(), "memory": size, "step_seconds": {"float32": 0.6}})
        return make_plan(fingerprint, small, **given)

    roomy = planned(64_000_000_000)
    tight = planned(round(0.95 * roomy.memory / memory.SHARE))
    assert 2 <= tight.config().batch_size < roomy.config().batch_size
    assert (tight.config().patch_size, tight.config().filters) == (128, 16)
    assert tight.memory <= memory.SHARE * tight.memory_limit
    (reason,) = (line.reason for line in tight.lines if line.name == "batch_size")
    assert f"with {roomy.config().batch_size} the training would take" in reason
    assert f"of this machine's {tight.memory_limit / 1e9:.3g} GB" in reason
    assert tight.step_seconds < roomy.step_seconds
    least = planned(1_000_000)
    config = least.config()
    assert (config.batch_size, config.patch_size, config.filters) == (1, 64, 8)
    assert "will hardly fit" in least.memory_sentence()
    given = planned(1_000_000, batch_size=16, patch_size=128)
    assert (given.config().batch_size, given.config().patch_size) == (16, 128)
    assert {line.reason for line in given.lines if line.name == "batch_size"} == {"given"}


def test_a_gpu_gets_a_wider_network():
    fingerprint = Fingerprint.read(GOLDEN / "hela.fingerprint.json")
    machine = Machine(cores=8, gpus=1, filters=32, step_seconds={"float32": 0.05})
    assert make_plan(fingerprint, machine).config().filters == 32


if __name__ == "__main__":
    for path in GOLDEN.glob("*.fingerprint.json"):
        plan = make_plan(Fingerprint.read(path), MACHINE, hours=1.0)
        plan.write(path.with_name(path.name.replace("fingerprint", "plan")))
        print(json.dumps(plan.to_dict(), indent=1))
