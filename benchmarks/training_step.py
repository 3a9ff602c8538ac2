"""A training step: fused batch normalisation against that of Keras, bfloat16 against float32.

The same network four times, which take turns in one run: with `keras.layers.BatchNormalization`
and with `layers.BatchNormalization`, in float32 and in mixed_bfloat16. A step is forward, hybrid
loss (MS-SSIM and all), backward and AdamW, as `unet3p train` takes it. Prints medians and ratios;
on a machine that does other things too, the processor time is the better figure. With Keras 2 the
two are one.

    python benchmarks/training_step.py [--repeats 7] [--only unet-16 ...] [--out FILE]
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_unet3p import compat, layers, losses, models, optimizers
from keras_unet3p.models import blocks

# name: architecture, options, patch, batch
NETWORKS = {
    "unet-16": ("unet", {"filters": 16, "batch_norm": True}, 256, 4),
    "unet-32": ("unet", {"filters": 32, "batch_norm": True}, 256, 4),
    "unet3plus-16": ("unet3plus", {"filters": 16, "deep_supervision": True}, 256, 4),
    "unet3plus-64": ("unet3plus", {"deep_supervision": True}, 320, 1),
}
KINDS = {
    "Keras's, float32": (keras.layers.BatchNormalization, "float32"),
    "fused, float32": (layers.BatchNormalization, "float32"),
    "Keras's, bfloat16": (keras.layers.BatchNormalization, "mixed_bfloat16"),
    "fused, bfloat16": (layers.BatchNormalization, "mixed_bfloat16"),
}
COLUMNS = ("network", "patch", "batch", "kind", "seconds", "processor_seconds")


def step_of(network: str, kind: str) -> Callable[[], object]:
    architecture, options, patch, batch = NETWORKS[network]
    norm, policy = KINDS[kind]
    ours = blocks.BatchNormalization
    blocks.BatchNormalization = norm
    try:
        with compat.global_policy(policy):
            model = getattr(models, architecture)((None, None, 1), num_classes=1, **options)
    finally:
        blocks.BatchNormalization = ours
    model.compile(optimizer=optimizers.AdamW(1e-3, 1e-4), loss=losses.HybridLoss())
    rng = np.random.default_rng(0)
    images = rng.random((batch, patch, patch, 1), np.float32)
    masks = (images > 0.5).astype(np.uint8)
    return lambda: model.train_on_batch(images, masks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--out", type=Path, help="CSV file of the medians")
    given = parser.parse_args()
    rows = []
    for network in given.only:
        steps = {kind: step_of(network, kind) for kind in KINDS}
        taken: dict[str, list[tuple[float, float]]] = {kind: [] for kind in steps}
        for repeat in range(given.repeats + 2):
            for kind, step in steps.items():
                before = time.perf_counter(), time.process_time()
                step()
                after = time.perf_counter(), time.process_time()
                if repeat >= 2:  # the first trace and fill caches
                    taken[kind].append((after[0] - before[0], after[1] - before[1]))
        medians = {
            kind: [statistics.median(x) for x in zip(*t, strict=True)] for kind, t in taken.items()
        }
        base = medians["Keras's, float32"]
        for kind, (wall, processor) in medians.items():
            print(
                f"{network:13} {kind:18} {wall:.3f} s ({wall / base[0]:.2f}), "
                f"processor {processor:.3f} s ({processor / base[1]:.2f})",
                flush=True,
            )
            _, _, patch, batch = NETWORKS[network]
            row = (network, patch, batch, kind, f"{wall:.3f}", f"{processor:.3f}")
            rows.append(dict(zip(COLUMNS, row, strict=True)))
    if given.out:
        with given.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
