"""What a machine can do, as far as a plan depends on it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from pydantic import Field

from keras_unet3p import compat, losses, models, optimizers
from keras_unet3p.artifacts.json_artifact import JsonArtifact

PIXELS_OF_A_STEP = 4 * 256 * 256
"""What a step computes: the patches that the rules choose have as many pixels together."""
_TIMED_STEPS = 3
_LONGEST = 20.0  # seconds after which no further step is timed
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container's limit stands: control groups of version 2 and 1."""


class Machine(JsonArtifact):
    """Devices, memory, and the measured time of a training step.

    Example:
        >>> machine = Machine(cores=2, gpus=0, filters=16, step_seconds={"float32": 0.55})
        >>> machine.fastest_policy(), machine.seconds_of(16)
        ('float32', 0.55)
    """

    WAY_OUT: ClassVar[str] = "measure the machine again"

    cores: int = Field(ge=1)
    """Of the processor, as far as this process may use them."""
    gpus: int = Field(ge=0)
    """Number of GPUs."""
    filters: int = Field(ge=1)
    """Of the U-Net whose steps were timed."""
    step_seconds: dict[str, float]
    """Policy of the computations -> seconds of a step of 262,144 pixels."""
    memory: int | None = Field(None, ge=1)
    """Bytes that processes can have: of the machine, or of the container; None: not known."""

    def fastest_policy(self) -> str:
        """float32, unless another one saves more than a tenth of the time."""
        plain = self.step_seconds["float32"]
        best = min(self.step_seconds, key=lambda policy: self.step_seconds[policy])
        return best if self.step_seconds[best] < 0.9 * plain else "float32"

    def seconds_of(self, filters: int, policy: str | None = None) -> float:
        """A step's seconds with so many filters: convolutions grow with the square of them."""
        share = filters / self.filters
        return self.step_seconds[policy or self.fastest_policy()] * max(share**2, share)

    @classmethod
    def measured(cls, channels: int = 1) -> Machine:
        """This machine, with a few timed steps; takes half a minute.

        Args:
            channels: of the images.
        """
        gpus = len(tf.config.list_logical_devices("GPU"))
        filters = 32 if gpus else 16
        half = "mixed_float16" if gpus else "mixed_bfloat16"
        policies = ("float32", half) if gpus or _has_bfloat16() else ("float32",)
        return cls(
            cores=len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1,
            gpus=gpus,
            filters=filters,
            step_seconds={policy: _seconds(policy, filters, channels) for policy in policies},
            memory=memory_of_machine(),
        )


def memory_of_machine() -> int | None:
    """Bytes of the machine's memory, or of the container's limit if that is less.

    None where the system does not tell (Windows).

    Example:
        >>> memory_of_machine() > 2**28  # doctest: +SKIP
        True
    """
    try:
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, OSError, ValueError):
        return None
    for path in map(Path, _LIMITS):
        try:
            found.append(int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # not there, or "max": no limit
            continue
    return max(min(found), 1)


def _has_bfloat16() -> bool:
    """Whether the processor computes with bfloat16; others emulate it, many times slower."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            found = file.read()
    except OSError:
        return False
    return "avx512_bf16" in found or "amx_bf16" in found


def _seconds(policy: str, filters: int, channels: int) -> float:
    with compat.global_policy(policy):
        model = models.unet((None, None, channels), filters=filters, batch_norm=True)
        model.compile(optimizers.AdamW(1e-3, 1e-4), loss=losses.WeightedCrossEntropy())
    rng = np.random.default_rng(0)
    images = tf.constant(rng.random((4, 256, 256, channels), np.float32))
    masks = tf.constant(rng.integers(0, 2, (4, 256, 256)))
    train: Any = model.train_on_batch
    train(images, masks)  # compiles
    train(images, masks)
    seconds: list[float] = []
    while len(seconds) < _TIMED_STEPS and sum(seconds) < _LONGEST:
        began = time.perf_counter()
        train(images, masks)
        seconds.append(time.perf_counter() - began)
    return float(f"{min(seconds):.3g}")
