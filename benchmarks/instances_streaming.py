"""Time per pixel and memory of numbering the objects of maps on disk, as the image grows.

Cells of 15 pixels' radius that touch, one in 900 pixels, with noise; the maps are a memory map, as
`StreamingPredictor` leaves them. The smallest size is also numbered as a whole, by
`InstanceRule.instances`: the ids are compared, and the times.

    python benchmarks/instances_streaming.py [--sides 2000 20000]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from keras_unet3p.postprocessing import InstanceRule, instances_by_windows

RULE = InstanceRule()
PERIOD, RADIUS = 30, 16.0


def generate(path: Path, side: int) -> np.ndarray:
    """Cells on a grid that is shaken, each line of windows by itself."""
    maps = np.lib.format.open_memmap(path, "w+", np.float32, (side, side, 2))
    place = np.arange(side) % PERIOD - PERIOD / 2
    for top in range(0, side, PERIOD):
        rng = np.random.default_rng(top)
        lines = slice(top, min(top + PERIOD, side))
        shift = np.repeat(rng.uniform(-2, 2, (2, side // PERIOD + 1)), PERIOD, axis=1)[:, :side]
        down = place[lines, np.newaxis] - shift[0]
        depth = np.clip(1 - np.hypot(down, place - shift[1]) / RADIUS, 0, 1)
        noise = rng.normal(0, 0.03, depth.shape)
        maps[lines, :, 0] = np.clip(depth * 4 + noise, 0, 1)
        maps[lines, :, 1] = np.clip(depth + noise, 0, 1)
    maps.flush()
    return np.load(path, mmap_mode="r")


def resident() -> float:
    """Of this process alone, without the pages of the memory maps, MB."""
    with open("/proc/self/status") as file:
        anonymous = next(line for line in file if line.startswith("RssAnon"))
    return int(anonymous.split()[1]) / 1e3


def measure(folder: Path, side: int, compare: bool) -> None:
    maps = generate(folder / "maps.npy", side)
    ids = np.lib.format.open_memmap(folder / "ids.npy", "w+", np.int32, (side, side))
    before, peak = resident(), 0.0

    def watch(done: int, total: int) -> None:
        nonlocal peak
        peak = max(peak, resident())

    began = time.perf_counter()
    count = instances_by_windows(maps, ids, RULE, progress=watch)
    seconds = time.perf_counter() - began
    print(
        f"{side}x{side}: {count} objects, {seconds:.1f} s, {seconds / side**2 * 1e6:.3f} "
        f"s/megapixel, growth {peak - before:.0f} MB between windows",
        flush=True,
    )
    if compare:
        began = time.perf_counter()
        whole = RULE.instances(np.asarray(maps))
        print(
            f"as a whole: {time.perf_counter() - began:.1f} s, "
            f"the same ids: {np.array_equal(whole, ids)}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[2000, 20000])
    sides = parser.parse_args().sides
    with tempfile.TemporaryDirectory() as name:
        for side in sides:
            measure(Path(name), side, compare=side == min(sides))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"peak of the process, the pages of the files included: {peak:.0f} MB")


if __name__ == "__main__":
    main()
