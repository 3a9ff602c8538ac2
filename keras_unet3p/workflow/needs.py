"""What an exported model needs for images of growing size, measured on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from keras_unet3p.artifacts import ModelCard, ModelSource
from keras_unet3p.errors import InputError

SIDES = (256, 512, 1024, 2048, 4096)
"""The sizes that are tried, pixels a side."""


class Need(NamedTuple):
    """What one image of a size needs.

    Attributes:
        side: of the square image, pixels.
        first: seconds for the first answer after loading, in which the graph is prepared: with the
            warm-up requests of the export a server does that before its ports open.
        seconds: median for further answers.
        peak_mb: the most memory that the process has held.

    Example:
        >>> Need(512, 0.6, 0.1, 500.0).pixels
        262144
    """

    side: int
    first: float
    seconds: float
    peak_mb: float

    @property
    def pixels(self) -> int:
        """Of the image."""
        return self.side**2


class Capacity(NamedTuple):
    """What `capacity` measures.

    Attributes:
        needs: for each size, rising.
        idle_mb: memory with the model loaded.
        load: seconds to load the model.
        stopped: why no larger size was tried; None if all were.

    Example:
        >>> found = Capacity([Need(1000, 1.0, 1.0, 600.0)], idle_mb=400.0, load=1.0, stopped=None)
        >>> found.memory_mb(1_000_000, at_once=3), found.seconds(2_000_000)
        (1000.0, 2.0)
    """

    needs: list[Need]
    idle_mb: float
    load: float
    stopped: str | None

    def memory_mb(self, pixels: int, at_once: int = 1) -> float:
        """For images of so many pixels, so many at once: in proportion, from the largest size."""
        largest = self.needs[-1]
        of_pixel = max(largest.peak_mb - self.idle_mb, 0.0) / largest.pixels
        return self.idle_mb + at_once * of_pixel * pixels

    def seconds(self, pixels: int) -> float:
        """For an image of so many pixels, likewise."""
        largest = self.needs[-1]
        return largest.seconds * pixels / largest.pixels


def capacity(
    model: str | os.PathLike[str], *, sides: Sequence[int] = SIDES, repeats: int = 3
) -> Capacity:
    """Measure seconds and memory of an exported model, each size in a process of its own.

    The graph is run by TensorFlow in Python, with all of this machine's cores. A server's process
    is about as large; what it holds for requests, and a second version while one replaces the
    other, come on top.

    Args:
        model: an exported model: its folder, or a version folder.
        sides: of the square images, pixels, rising; those above the export's `max_pixels` are left
            out.
        repeats: of each request, after the first one.

    Raises:
        ValueError: it is no exported model, or the smallest size fails.

    Example:
        >>> capacity("models/cells").memory_mb(2048**2, at_once=4)  # doctest: +SKIP
        1830.0
    """
    source = ModelSource.of(model)
    if source.version is None:
        raise InputError(f"{source}; expected an exported model")
    if not sides or list(sides) != sorted({*sides}) or sides[0] < 1:
        raise InputError(f"sides must be rising numbers of pixels from 1, found {list(sides)}")
    if repeats < 1:
        raise InputError(f"repeats must be at least 1, found {repeats}")
    card = ModelCard.of_version(source.version)
    limit = None if card is None else card.max_pixels
    needs: list[Need] = []
    idle, load, stopped = 0.0, 0.0, None
    for side in sides:
        if limit is not None and side**2 > limit:
            stopped = f"the export takes up to {limit} pixels"
            break
        found = _probe(source.version, side, repeats)
        if isinstance(found, str):
            stopped = f"{side} x {side}: {found}"
            break
        idle, load = found["idle_mb"], found["load"]
        needs.append(Need(side, found["first"], found["seconds"], found["peak_mb"]))
    if not needs:
        raise InputError(f"{source}; nothing could be measured: {stopped}")
    return Capacity(needs, idle, load, stopped)


def _probe(version: Path, side: int, repeats: int) -> dict[str, float] | str:
    """What the process found, or how it ended."""
    command = [sys.executable, "-m", "keras_unet3p.workflow.needs_probe"]
    ran = subprocess.run(
        [*command, str(version), str(side), str(repeats)],
        capture_output=True,
        text=True,
        env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ},
        check=False,
    )
    if ran.returncode < 0:
        return f"killed by signal {-ran.returncode}; most likely out of memory"
    if ran.returncode:
        return (ran.stderr.strip().splitlines() or ["failed without a message"])[-1]
    return json.loads(ran.stdout.splitlines()[-1])
