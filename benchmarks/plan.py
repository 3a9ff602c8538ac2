"""How long a planned training takes, against what the plan says.

A training of generated cells, or of a folder of yours, is planned for a few minutes and run; the
time of its epochs is compared with the plan's, and the steps that it took with those that the plan
expected.

    python benchmarks/plan.py [--minutes 3] [--images DIR --masks DIR]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from keras_unet3p import data, workflow
from keras_unet3p.artifacts import RunFolder
from keras_unet3p.images import pictures


def cells(folder: Path, count: int = 24) -> tuple[Path, Path]:
    for number in range(count):
        image, labels = data.generate_cells(256, seed=number)
        pictures.write_picture(folder / "images" / f"{number}.png", image)
        pictures.write_picture(folder / "masks" / f"{number}.png", labels.astype(np.uint16))
    return folder / "images", folder / "masks"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--masks", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.images is None:
            options.images, options.masks = cells(Path(folder))
        began = time.perf_counter()
        plan = workflow.plan(options.images, options.masks, hours=options.minutes / 60)
        planned = time.perf_counter()
        out = Path(folder, "run")
        workflow.train(options.images, options.masks, plan.config(), out=out)
        trained = time.perf_counter()
        rows = RunFolder(out).read_history().rows
        seconds = sum(row["seconds"] for row in rows)
        steps = len(rows) * plan.config().steps_per_epoch
    print(f"planning {planned - began:.0f} s, training and all after it {trained - planned:.0f} s")
    print(
        f"epochs   {seconds:.0f} s of {options.minutes * 60:.0f} s: "
        f"{seconds / options.minutes / 60:.2f} of the plan"
    )
    print(f"steps    about {steps} of {plan.steps}: {steps / plan.steps:.2f} of the plan")


if __name__ == "__main__":
    main()
