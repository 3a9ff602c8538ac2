"""Prediction on a Dask cluster of this machine against one process with the same cores.

    python benchmarks/cluster_prediction.py --side 20000 --workers 2 --kill

An image of generated cells, larger than what a worker holds, is segmented by worker processes, and
by the streaming predictor. With `--kill` a worker is killed on the way. Told are the seconds of
both, their ratio, the largest memory of a worker and whether the masks are equal.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

TILE, CHUNK = 512, 4096


def resident(process: int) -> float:
    """MB; 0 of a process that is gone."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--filters", type=int, default=4)
    parser.add_argument("--kill", action="store_true", help="kill a worker on the way")
    options = parser.parse_args()
    import distributed
    import zarr

    import keras_unet3p as ku
    from keras_unet3p.workflow import predict_on_cluster

    folder = Path(tempfile.mkdtemp())
    network = ku.models.unet((None, None, 1), filters=options.filters, depth=2)
    network.save(folder / "network.keras")
    block, _ = ku.data.generate_cells((1000, 1000), seed=0)
    side = options.side
    image = zarr.create_array(
        folder / "image.zarr", shape=(side, side), dtype="uint8", chunks=(1000, 1000)
    )
    for top in range(0, side, 1000):
        for left in range(0, side, 1000):
            image[top : top + 1000, left : left + 1000] = block[: side - top, : side - left]

    threads = str(max((os.cpu_count() or 1) // options.workers, 1))
    with distributed.LocalCluster(
        n_workers=options.workers,
        threads_per_worker=1,
        env={"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads},
    ) as cluster:
        with distributed.Client(cluster) as client:
            first = next(iter(client.run(os.getpid).values()))
        largest: dict[int, float] = {}
        steps: list[float] = []
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.2):
                for worker in cluster.workers.values():
                    process = worker.pid
                    if process is not None:
                        largest[process] = max(largest.get(process, 0.0), resident(process))

        threading.Thread(target=watch, daemon=True).start()

        def progress(done: int, total: int) -> None:
            steps.append(max(largest.values(), default=0.0))
            print(f"{done}/{total} chunks, largest worker so far {steps[-1]:.0f} MB", flush=True)
            if options.kill and done == total // 2:
                os.kill(first, signal.SIGKILL)

        began = time.perf_counter()
        out = predict_on_cluster(
            folder / "network.keras",
            folder / "image.zarr",
            folder / "mask.zarr",
            scheduler=cluster.scheduler_address,
            chunk=CHUNK,
            tile_size=TILE,
            progress=progress,
        )
        of_cluster = time.perf_counter() - began
        over.set()
    began = time.perf_counter()
    predictor = ku.tiling.StreamingPredictor(folder / "network.keras", tile_size=TILE)
    one = predictor.predict(image, folder / "mask.npy", progress=False)
    of_one = time.perf_counter() - began
    mask = zarr.open_array(out, mode="r")
    equal = all(
        np.array_equal(mask[top : top + 1000], one[top : top + 1000])
        for top in range(0, side, 1000)
    )
    print(
        f"{side} x {side} pixels: {options.workers} workers {of_cluster:.0f} s, one process "
        f"{of_one:.0f} s, ratio {of_one / of_cluster:.2f}; largest worker "
        f"{max(largest.values()):.0f} MB; equal: {equal}"
    )


if __name__ == "__main__":
    main()
