"""The time until a training's first step is done: this package's model and AdamW against Keras's.

Most of it goes into the graph, not into the step. The same layers, loss, metrics and batch, each
time in a process of its own (without its imports): as `keras.Model` with `keras.optimizers.AdamW`,
whose variables Keras makes within the step, so that TensorFlow traces it twice; and as the builders
give it, with `optimizers.AdamW`. Prints medians and ratios; on a machine that does other things
too, the processor time is the better figure.

    python benchmarks/first_step.py [--repeats 3] [--only unet-16 ...] [--out FILE]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# name: architecture, options
NETWORKS = {
    "unet-16": ("unet", {"filters": 16, "batch_norm": True}),
    "unet3plus-16": ("unet3plus", {"filters": 16}),
    "unetplusplus-16": ("unetplusplus", {"filters": 16}),
}
KINDS = ("Keras's", "ours")
COLUMNS = ("network", "kind", "seconds", "processor_seconds")


def measure(network: str, kind: str) -> dict[str, float]:
    """In this process, which has traced nothing yet."""
    import keras
    import numpy as np

    from keras_unet3p import losses, metrics, models, optimizers

    architecture, options = NETWORKS[network]
    model = getattr(models, architecture)((None, None, 1), num_classes=1, **options)
    adam = optimizers.AdamW
    if kind == "Keras's":
        model, adam = keras.Model(model.inputs, model.outputs[0]), keras.optimizers.AdamW
    image = np.random.default_rng(0).random((1, 64, 64, 1), np.float32)
    mask = (image > 0.5).astype(np.uint8)
    before = time.perf_counter(), time.process_time()
    model.compile(
        optimizer=adam(1e-3, weight_decay=1e-4),
        loss=losses.HybridLoss(),
        metrics=[metrics.Dice(), metrics.IoU()],
    )
    model.fit(image, mask, verbose=0)
    return {
        "seconds": time.perf_counter() - before[0],
        "processor_seconds": time.process_time() - before[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--out", type=Path, help="CSV file of the medians")
    parser.add_argument("--here", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(*given.here)))
        return
    rows = []
    for network in given.only:
        taken: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
        for _ in range(given.repeats):
            for kind in KINDS:
                command = [sys.executable, __file__, "--here", network, kind]
                said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                taken[kind].append(json.loads(said.splitlines()[-1]))
        base: dict[str, float] = {}
        for kind in KINDS:
            found = {
                name: statistics.median(one[name] for one in taken[kind]) for name in COLUMNS[2:]
            }
            base = base or found
            print(
                f"{network:16} {kind:8} {found['seconds']:.1f} s "
                f"({found['seconds'] / base['seconds']:.2f}), processor "
                f"{found['processor_seconds']:.1f} s "
                f"({found['processor_seconds'] / base['processor_seconds']:.2f})",
                flush=True,
            )
            row = (network, kind, *(f"{found[name]:.2f}" for name in COLUMNS[2:]))
            rows.append(dict(zip(COLUMNS, row, strict=True)))
    if given.out:
        with given.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
