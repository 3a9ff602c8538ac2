"""From a fingerprint and a machine to a plan: what was measured, as rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras_unet3p.artifacts import Plan, PlanLine
from keras_unet3p.config import ARCHITECTURES, CONTRAST_SPREAD, TrainingConfig
from keras_unet3p.errors import InputError
from keras_unet3p.planning.fingerprint import Fingerprint
from keras_unet3p.planning.machine import PIXELS_OF_A_STEP, Machine
from keras_unet3p.planning.memory import SHARE, training_memory

# The constants, and where they come from; benchmarks/accuracy has the figures.
CPU_FILTERS, GPU_FILTERS = 16, 32
"""16, 24 and 32 filters were equal after the same steps, and steps decide: 16 take most of them."""
SMALL_PATCH, LARGE_PATCH = 128, 256
SMALL_OBJECT = 16.0
"""Radius in pixels up to which objects fit into small patches, of which a step sees four times as
many."""
LEARNING_RATE = 2e-3
ALIKE = 0.1
"""How much more alike neighbours than distant images are in a film or a block of sections."""
VALIDATIONS = 20
"""Of a run; each costs time, and the moving average hardly changes between more of them."""
OVERHEAD = 1.15
"""Time of a run over that of its bare steps: data, validation, checkpoints."""
CELLS_IN_MEMBRANES = 0.5, 10
"""Share of the foreground and number of its pieces in an image from which on what matters is that
the pieces stay apart: cells between membranes."""
_FEWEST_STEPS = 16  # of an epoch
_SMALLEST = {"batch_size": 2, "patch_size": 64, "filters": 8}
"""How far memory may shrink a choice; last of all a batch becomes a single patch."""

_OF_NETWORK = ("architecture", "filters", "depth", "batch_norm")


def make_plan(
    fingerprint: Fingerprint, machine: Machine, hours: float | None = 1.0, **fixed: Any
) -> Plan:
    """The plan of a training; the same arguments give the same plan.

    Args:
        fingerprint: of the images and masks.
        machine: where the training runs.
        hours: of the training; None where epochs are to decide.
        **fixed: options of `TrainingConfig` that are given already. Their lines say so, and the
            others are chosen to go with them.

    Raises:
        ValueError: `hours` is not above 0, or an option is unknown or not accepted.

    Example:
        >>> fingerprint = Fingerprint(
        ...     images=40, channels=1, mask_kind="instances", num_classes=1, median_side=256,
        ...     total_pixels=2621440, labeled_share=1.0, foreground_share=0.2,
        ...     contrast_spread=1.2, neighbours_alike=0.0, objects_per_image=30.0,
        ...     object_radius=9.0, touching_share=0.3,
        ... )
        >>> machine = Machine(cores=2, gpus=0, filters=16, step_seconds={"float32": 0.5})
        >>> plan = make_plan(fingerprint, machine, hours=1.0)
        >>> plan.config().patch_size, plan.config().batch_size, plan.steps
        (128, 16, 6260)
        >>> small = Machine(**{**machine.to_dict(), "memory": 1_500_000_000})
        >>> make_plan(fingerprint, small).config().batch_size < 16
        True
    """
    if hours is not None and not hours > 0:
        raise InputError(f"hours must be above 0, found {hours}")
    config = TrainingConfig(**fixed)  # refuses what is not accepted
    lines: list[PlanLine] = []
    known = config.to_dict()

    def choose(name: str, decide: Callable[[], tuple[Any, str]]) -> Any:
        if name in fixed:
            lines.append(PlanLine(name=name, value=fixed[name], reason="given"))
            return fixed[name]
        value, reason = decide()
        if value is None:
            return known[name]
        lines.append(PlanLine(name=name, value=value, reason=reason))
        return value

    _network(choose, fingerprint, machine, fixed)
    _patches(choose, fingerprint, fixed)
    _recipe(choose, fingerprint)
    policy = choose("mixed_precision", lambda: _policy(machine)) or "float32"

    memory = _keep_within(lines, fingerprint, machine, fixed)

    values = {line.name: line.value for line in lines}
    filters = values.get("filters") or CPU_FILTERS
    is_timed = policy in machine.step_seconds
    step = machine.seconds_of(filters, policy if is_timed else None) * OVERHEAD
    step *= values["patch_size"] ** 2 * values["batch_size"] / PIXELS_OF_A_STEP
    steps = 0
    if hours is not None:
        lines.append(PlanLine(name="hours", value=hours, reason="the time of the training"))
        steps = max(int(hours * 3600 / step), 1)
        choose(
            "steps_per_epoch",
            lambda: (
                max(round(steps / VALIDATIONS), _FEWEST_STEPS),
                f"about {VALIDATIONS} validations in about {steps} steps of {step:.3g} s",
            ),
        )
    named = {line.name for line in lines}
    lines += [
        PlanLine(name=name, value=value, reason="given")
        for name, value in fixed.items()
        if name not in named
    ]
    plan = Plan(lines=lines, steps=steps, step_seconds=float(f"{step:.3g}"), **memory)
    plan.config()  # refuses what does not go together
    return plan


def _network(choose, fingerprint: Fingerprint, machine: Machine, fixed: dict[str, Any]) -> None:
    """The lines of the network."""
    if fixed.get("init") is not None:
        for name in _OF_NETWORK:
            if name in fixed:
                choose(name, lambda: (None, ""))
        return
    architecture = choose(
        "architecture",
        lambda: ("unet", "in the same time more accurate here than UNet 3+, whose steps take more"),
    )
    options = ARCHITECTURES[architecture].options
    device = f"{machine.gpus} GPU(s)" if machine.gpus else f"{machine.cores} processor cores"
    count = GPU_FILTERS if machine.gpus else CPU_FILTERS
    choose(
        "filters",
        lambda: (
            (count, f"{device}: steps count for more than width, and few filters take more steps")
            if fixed.get("encoder") in (None, "plain") and architecture != "fcn"
            else (None, "")
        ),
    )
    levels = 4 if fingerprint.median_side >= 64 else 3
    if "depth" in options and fixed.get("encoder") in (None, "plain"):
        choose(
            "depth",
            lambda: (levels, f"images of about {fingerprint.median_side} pixels a side"),
        )
    if "batch_norm" in options:
        choose("batch_norm", lambda: (True, "trains faster and more safely"))


def _patches(choose, fingerprint: Fingerprint, fixed: dict[str, Any]) -> None:
    radius = fingerprint.object_radius
    is_small = fingerprint.mask_kind == "instances" and radius is not None and radius < SMALL_OBJECT
    side = SMALL_PATCH if is_small else LARGE_PATCH
    reason = (
        f"objects of radius {radius:.3g} fit into it, and more patches in a step are more varied"
        if is_small
        else "large enough for the context that the network sees"
    )
    image = max(math.ceil(fingerprint.median_side / 16) * 16, 32)
    if image < side:
        side, reason = image, "as large as the images"
    if fixed.get("padding") == "valid":
        side, reason = 252, "a size that the unpadded network takes"
    patch = choose("patch_size", lambda: (side, reason))
    count = max(round(PIXELS_OF_A_STEP / patch**2), 2)
    choose("batch_size", lambda: (min(count, 32), "about 262,000 pixels a step"))


def _recipe(choose, fingerprint: Fingerprint) -> None:
    spread = fingerprint.contrast_spread
    choose(
        "normalization",
        lambda: (
            "auto",
            f"the images' contrasts differ by a factor of {spread:.3g}, so "
            + (
                "each is normalised by its own percentiles"
                if spread > CONTRAST_SPREAD
                else "one rule for the set will do"
            ),
        ),
    )
    if fingerprint.mask_kind == "instances":
        touching = fingerprint.touching_share or 0.0
        choose(
            "instances",
            lambda: (
                "distance",
                f"{touching:.0%} of the objects touch another one; a map of the distance to the "
                "outline tells them apart best",
            ),
        )
        choose("loss", lambda: ("auto", "cross-entropy of both maps; adding Dice gained nothing"))
    else:
        choose("loss", lambda: ("auto", "pixels, structure and regions together: the hybrid loss"))
    pieces = fingerprint.objects_per_image or 0.0
    share, fewest = CELLS_IN_MEMBRANES
    if (
        fingerprint.mask_kind == "binary"
        and fingerprint.foreground_share > share
        and pieces >= fewest
        and choose("tuning", lambda: (None, ""))
    ):
        choose(
            "measure",
            lambda: (
                "rand",
                f"thin lines part {pieces:.3g} pieces of foreground an image: cells in membranes, "
                "where a small gap joins two; a seeded watershed is tried too",
            ),
        )
    choose(
        "learning_rate",
        lambda: (LEARNING_RATE, "AdamW with a warm-up and a cosine to zero"),
    )
    if fingerprint.neighbours_alike > ALIKE:
        choose(
            "contiguous_validation",
            lambda: (True, "neighbouring images are alike: a film, or sections of a block"),
        )


def _policy(machine: Machine) -> tuple[str | None, str]:
    best = machine.fastest_policy()
    if best == "float32":
        return None, ""
    ratio = machine.step_seconds[best] / machine.step_seconds["float32"]
    return best, f"a step takes {ratio:.2f} of the time in float32, measured here"


def _keep_within(
    lines: list[PlanLine], fingerprint: Fingerprint, machine: Machine, fixed: dict[str, Any]
) -> dict[str, int]:
    """Shrink the choices until the training fits the machine's memory; gives the plan's entries.

    The batch goes first: the network and what it sees stay. What is given is not touched, so that a
    plan may exceed the memory; its two entries say so.
    """
    if machine.gpus:  # the device's memory decides, of which nothing was measured
        return {}
    found: dict[str, int] = {} if machine.memory is None else {"memory_limit": machine.memory}
    larger: dict[str, str] = {}  # name -> what the choice would have taken before it was shrunk
    while True:
        chosen = {line.name: line.value for line in lines}
        needed = training_memory(TrainingConfig(**{**fixed, **chosen}), fingerprint)
        if needed is None:
            return {}
        found["memory"] = needed
        fits = machine.memory is None or needed <= SHARE * machine.memory
        smaller = None if fits else _smaller(chosen, fixed)
        if smaller is None:
            break
        name, value = smaller
        larger.setdefault(name, f"with {chosen[name]} the training would take {_gb(needed)}")
        place = next(number for number, line in enumerate(lines) if line.name == name)
        lines[place] = PlanLine(name=name, value=value, reason=lines[place].reason)
    for place, line in enumerate(lines):
        if line.name in larger:
            reason = f"{larger[line.name]} of this machine's {_gb(machine.memory or 0)} of memory"
            lines[place] = PlanLine(name=line.name, value=line.value, reason=reason)
    return found


def _gb(size: int) -> str:
    return f"{size / 1e9:.3g} GB"


def _smaller(chosen: dict[str, Any], fixed: dict[str, Any]) -> tuple[str, int] | None:
    """The next choice to shrink and its new value; None where nothing is left."""
    free = [name for name in _SMALLEST if name in chosen and name not in fixed]
    if fixed.get("padding") == "valid" and "patch_size" in free:
        free.remove("patch_size")  # few sizes fit
    for name in free:
        value = chosen[name] // 2
        if name == "patch_size":
            value = value // 32 * 32  # which networks of up to 5 poolings take
        value = max(value, _SMALLEST[name])
        if value < chosen[name]:
            return name, value
    return ("batch_size", 1) if "batch_size" in free and chosen["batch_size"] > 1 else None
