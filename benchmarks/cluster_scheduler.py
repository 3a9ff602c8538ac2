"""What a Dask scheduler spends on a chunk of `predict_on_cluster`; what follows for 10^12 pixels.

    python benchmarks/cluster_scheduler.py --csv benchmarks/speed/cluster_scheduler.csv

An image of many tiny chunks is segmented by a network that is next to nothing. Told is processor
time, not time on the clock, so that a busy machine gives the same: of the scheduler, which is a
process of its own, without what it spends when nothing is to be done, and of the caller, which
hands the chunks out. The processor time of a pixel is that of the network `--model` in windows of
this process.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TILE, IDLE_SECONDS = 32, 5
PIXELS, SIDE = 10**12, 8192
COMPUTED = 7 / 6  # with the tiles between two chunks, which are computed for both
TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(process: int) -> float:
    """MB."""
    return (
        int(Path(f"/proc/{process}/statm").read_text().split()[1])
        * os.sysconf("SC_PAGE_SIZE")
        / 1e6
    )


def transitions(dask_scheduler) -> tuple[int, int]:
    """Of tasks from one state to another so far, and the tasks that are known now."""
    return dask_scheduler.transition_counter, len(dask_scheduler.tasks)


def measured(folder: Path, address: str, scheduler: int, chunks: int) -> dict[str, float]:
    """A prediction of that many chunks."""
    import distributed
    import zarr

    from keras_unet3p.workflow import predict_on_cluster

    with distributed.Client(address) as client:
        (before, _) = client.run_on_scheduler(transitions)
        began, seconds = time.monotonic(), processor_seconds(scheduler)
        time.sleep(IDLE_SECONDS)
        idle = (processor_seconds(scheduler) - seconds) / (time.monotonic() - began)
        rows = math.isqrt(chunks)
        columns = chunks // rows
        steps = zarr.open_array(folder / "step.zarr", mode="r").shape
        image = folder / f"{chunks}.zarr"
        shape = (rows * steps[0], columns * steps[1])
        zarr.create_array(image, data=np.zeros(shape, np.uint8), chunks=(512, 512))
        most = []
        began, seconds, own = time.monotonic(), processor_seconds(scheduler), time.process_time()
        predict_on_cluster(
            folder / "network.keras",
            image,
            folder / f"{chunks}-mask.zarr",
            scheduler=address,
            chunk=steps[0],
            tile_size=TILE,
            progress=lambda done, total: (
                most.append(client.run_on_scheduler(transitions)[1]) if done % 50 == 1 else None
            ),
        )
        own = time.process_time() - own
        spent = processor_seconds(scheduler) - seconds - idle * (time.monotonic() - began)
        (after, _) = client.run_on_scheduler(transitions)
    return {
        "chunks": rows * columns,
        "transitions": after - before,
        "tasks_at_once": max(most),
        "scheduler_seconds": spent,
        "caller_seconds": own,
        "scheduler_idle_percent": 100 * idle,
        "scheduler_mb": resident(scheduler),
    }


def seconds_per_megapixel(model: str, side: int) -> float:
    """Processor time of the network, in tiles of 512 pixels."""
    import keras_unet3p as ku

    network = ku.models.from_preset(model)
    predictor = ku.tiling.StreamingPredictor(network, tile_size=512)
    image, _ = ku.data.generate_cells((side, side), seed=0)
    predictor.predict_window(image, (0, 8, 0, 8))  # builds the graph
    began = time.process_time()
    predictor.predict_window(image, (0, side, 0, side))
    return (time.process_time() - began) / (side * side / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--chunks", type=int, nargs=2, default=(100, 400))
    parser.add_argument("--model", default="nuclei", help="preset whose pixels are counted")
    parser.add_argument("--probe", type=int, default=1024, help="side of its image, pixels")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    import zarr

    import keras_unet3p as ku

    folder = Path(tempfile.mkdtemp())
    network = ku.models.unet((None, None, 1), filters=1, depth=1)
    network.save(folder / "network.keras")
    step = ku.tiling.StreamingPredictor(folder / "network.keras", tile_size=TILE).geometry.core
    zarr.create_array(folder / "step.zarr", data=np.zeros(step, np.uint8))
    told = folder / "scheduler.json"
    common = ["--scheduler-file", str(told), "--no-dashboard"]
    run = [sys.executable, "-W", "ignore", "-m"]
    scheduler = subprocess.Popen(
        [*run, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *common],
        stderr=subprocess.DEVNULL,
    )
    while not told.exists():
        time.sleep(0.2)
    worker = subprocess.Popen(
        [*run, "distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", *common],
        stderr=subprocess.DEVNULL,
    )
    try:
        address = json.loads(told.read_text())["address"]
        # For the first task the scheduler imports what the task is of, once.
        _, first, second = (
            measured(folder, address, scheduler.pid, chunks) for chunks in (4, *options.chunks)
        )
    finally:
        worker.terminate()
        scheduler.terminate()

    def per_chunk(name: str) -> float:
        """By the difference, so that what a prediction costs in any case is left out."""
        return (second[name] - first[name]) / (second["chunks"] - first["chunks"])

    per_megapixel = seconds_per_megapixel(options.model, options.probe)
    chunks = math.ceil(math.sqrt(PIXELS) / SIDE) ** 2
    rows = [
        ("chunks measured", f"{first['chunks']} and {second['chunks']}"),
        ("transitions of tasks per chunk", f"{per_chunk('transitions'):.1f}"),
        ("tasks that the scheduler knows at once, at most", f"{second['tasks_at_once']}"),
        ("scheduler, processor ms per chunk", f"{1000 * per_chunk('scheduler_seconds'):.1f}"),
        ("caller, processor ms per chunk", f"{1000 * per_chunk('caller_seconds'):.1f}"),
        ("scheduler idle, % of a processor", f"{second['scheduler_idle_percent']:.1f}"),
        (
            "scheduler's memory after the fewer and the more chunks, MB",
            f"{first['scheduler_mb']:.0f} and {second['scheduler_mb']:.0f}",
        ),
        (f"network {options.model}, processor s per megapixel", f"{per_megapixel:.1f}"),
        ("10^12 pixels: chunks of 8,192", f"{chunks:,}"),
        ("10^12 pixels: scheduler, processor s", f"{chunks * per_chunk('scheduler_seconds'):,.0f}"),
        ("10^12 pixels: caller, processor s", f"{chunks * per_chunk('caller_seconds'):,.0f}"),
        (
            "10^12 pixels: workers, processor hours",
            f"{PIXELS / 1e6 * per_megapixel * COMPUTED / 3600:,.0f}",
        ),
    ]
    for what, value in rows:
        print(f"{what}: {value}")
    if options.csv is not None:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("what", "value"), *rows])


if __name__ == "__main__":
    main()
