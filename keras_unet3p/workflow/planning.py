"""A plan for a folder of images and a folder of masks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_unet3p import data
from keras_unet3p.artifacts import RunFolder
from keras_unet3p.config import ReadingChoices, TrainingConfig, read_tf_config
from keras_unet3p.config.training_config import NETWORK_OPTIONS
from keras_unet3p.errors import InputError
from keras_unet3p.images import MAX_PAGES, MAX_PIXELS
from keras_unet3p.planning import Fingerprint, Machine, Plan, make_plan
from keras_unet3p.progress import Progress

DECIDING = frozenset(
    {"architecture", "init", "epochs", "steps_per_epoch", *NETWORK_OPTIONS}
    - {"batch_norm_synchronized"}
)
"""Options that leave nothing to plan: whoever names a network or a number of epochs has a plan."""


def plan(
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str] | None = None,
    *,
    hours: float | None = 1.0,
    mask_kind: str = "auto",
    classes: int | Sequence[str] | Sequence[int] | None = None,
    ignore: int | None = None,
    max_pixels: int = MAX_PIXELS,
    max_pages: int = MAX_PAGES,
    reading: ReadingChoices | None = None,
    machine: Machine | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: Progress = False,
    **fixed: Any,
) -> Plan:
    """Look at the data and at this machine, and plan a training.

    Args:
        images: as `train`.
        masks: as `train`.
        hours: of the training; see `planning.make_plan`.
        mask_kind: as `train`.
        classes: as `train`.
        ignore: as `train`.
        max_pixels: as `train`.
        max_pages: as `train`.
        reading: as `train`.
        machine: where the training will run; None measures this machine.
        out: file for the plan, JSON; None writes none.
        progress: of looking at the images; as `predict`.
        **fixed: options of `TrainingConfig` that are given already.

    Returns:
        The plan; `train(images, masks, plan.config(), out=...)` follows it.

    Raises:
        ValueError: a file or an option is not acceptable.

    Example:
        >>> plan("images", "masks", hours=2).config().architecture  # doctest: +SKIP
        'unet'
    """
    opened = data.open_images(
        images,
        masks,
        splits=("train", "val"),
        mask_kind=mask_kind,
        classes=classes,
        ignore=ignore,
        accept_values=True,
        max_pixels=max_pixels,
        max_pages=max_pages,
        reading=reading or ReadingChoices(),
        progress=progress,
    )
    fingerprint = Fingerprint.of(opened)
    machine = machine or Machine.measured(fingerprint.channels)
    found = make_plan(fingerprint, machine, hours, **fixed)
    if out is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        found.write(out)
    return found


def plan_of_run(
    out: str | os.PathLike[str],
    given: Mapping[str, Any],
    *,
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str] | None = None,
    on_planning: Callable[[str], object] = lambda text: None,
    **of_data: Any,
) -> Plan | None:
    """The plan that a run follows: its own, or a new one, which is written into its folder.

    Args:
        out: run folder.
        given: options of `TrainingConfig`, which override the plan's.
        images: as `train`.
        masks: as `train`.
        on_planning: is told that a plan is being made.
        **of_data: further arguments of `plan`.

    Returns:
        The plan; None where `given` has one of `DECIDING`, or the run was begun without a plan.

    Raises:
        ValueError: a file or an option is not acceptable, or the run's plan is damaged.

    Example:
        >>> plan_of_run("runs/cells", {"epochs": 10}, images="images", masks="masks") is None
        True
    """
    if DECIDING & set(given):
        return None
    run = RunFolder(out)
    before = run.read_plan()
    if before is not None or run.is_run:
        return before
    cluster = read_tf_config()
    if cluster is not None and len(cluster.addresses) > 1:
        raise InputError(
            "a training on several machines is not planned: make the plan on one of them, without "
            f"TF_CONFIG, or choose the network and the length ({', '.join(sorted(DECIDING))})"
        )
    TrainingConfig(**given)  # not accepted? Better told now than after the measuring
    on_planning("planning: looking at the images, and timing a few steps")
    fixed = {name: value for name, value in given.items() if name != "hours"}
    hours = given.get("hours", 1.0)
    return plan(images, masks, hours=hours, out=run.plan, **of_data, **fixed)
