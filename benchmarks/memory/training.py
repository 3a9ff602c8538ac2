"""Peak memory of short trainings, which the planner's model of it is fitted to and compared with.

    python benchmarks/memory/training.py measure [--only NUMBER ...] [--out FILE]
    python benchmarks/memory/training.py fit [--out FILE]

`measure` runs `unet3p train` on generated cells in a process of its own for a few steps, with the
validation, the choice of what follows the network and the report that belong to it, and appends
the peak of its resident memory (`ru_maxrss`) to training.csv; trainings that are there already are
left out. The load of the machine does not matter. `fit` fits the constants of
`keras_unet3p.planning.memory` to the rows of the role "fit", and prints how far the model with the
constants that are in the source lies off on these and on the others, which no constant knows. With
Keras 2, of which little was measured, only the base is its own: fitted to the training of role fit.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

TABLE = Path(__file__).with_name("training.csv")
FIELDS = (
    "keras", "role", "architecture", "filters", "patch_size", "batch_size", "masks", "loss",
    "policy", "images", "side", "steps", "epochs", "peak_mb",
)  # fmt: skip
# role, architecture, filters, patch, batch, masks, loss, policy, images, their side, steps, epochs
TRAININGS = [
    ("fit", "unet", 8, 64, 1, "binary", "auto", "", 12, 256, 4, 2),
    ("fit", "unet", 16, 256, 4, "instances", "auto", "", 12, 256, 4, 2),
    ("fit", "unet3plus", 16, 128, 4, "binary", "auto", "", 12, 256, 4, 2),
    ("fit", "unet", 64, 64, 1, "binary", "auto", "", 6, 128, 3, 1),
    ("fit", "attention_unet", 16, 256, 2, "binary", "auto", "", 6, 128, 3, 1),
    ("test", "unet", 16, 256, 8, "binary", "auto", "", 6, 128, 3, 1),
    ("fit", "unetplusplus", 16, 128, 8, "instances", "auto", "", 6, 128, 3, 1),
    ("test", "unet", 24, 192, 4, "instances", "auto", "", 6, 128, 3, 1),
    ("test", "unet3plus", 8, 256, 2, "instances", "auto", "", 6, 128, 3, 1),
    ("test", "attention_unet", 32, 128, 4, "instances", "auto", "", 6, 128, 3, 1),
    ("test", "unetplusplus", 8, 256, 4, "binary", "auto", "", 6, 128, 3, 1),
    ("test", "unet", 48, 64, 4, "binary", "auto", "", 6, 128, 3, 1),
    ("fit", "unet", 8, 64, 4, "instances", "auto", "", 40, 1024, 20, 1),
    ("fit", "unet", 8, 64, 4, "binary", "auto", "", 8, 1536, 3, 1),
    ("test", "unet3plus", 32, 128, 4, "binary", "auto", "", 6, 128, 3, 1),
    ("test", "unet", 16, 256, 4, "instances", "auto", "mixed_bfloat16", 6, 128, 3, 1),
    ("test", "unet", 16, 256, 4, "binary", "dice", "", 12, 256, 60, 1),
]


def cells(folder: Path, count: int, side: int) -> None:
    """Images and masks of instances, which --mask-kind binary takes for foreground."""
    import numpy as np

    from keras_unet3p import data
    from keras_unet3p.images import pictures

    for number in range(count):
        image, labels = data.generate_cells(side, seed=number)
        pictures.write_picture(folder / "images" / f"{number}.png", image)
        pictures.write_picture(folder / "instances" / f"{number}.png", labels.astype(np.uint16))
        mask = (labels > 0).astype(np.uint8) * 255
        pictures.write_picture(folder / "binary" / f"{number}.png", mask)


def peak_of(row: dict[str, str], folder: Path) -> float:
    """Peak resident memory of a training, MB."""
    command = [sys.executable, "-m", "keras_unet3p", "train", "--no-plan"]
    command += ["--images", str(folder / "images"), "--masks", str(folder / row["masks"])]
    command += ["--out", str(folder / "run"), "--epochs", row["epochs"]]
    command += ["--steps-per-epoch", row["steps"]]
    command += ["--mask-kind", row["masks"], "--loss", row["loss"]]
    for name in ("architecture", "filters", "patch_size", "batch_size"):
        command += [f"--{name.replace('_', '-')}", row[name]]
    if row["architecture"] != "unet3plus":
        command += ["--batch-norm"]
    if row["policy"]:
        command += ["--mixed-precision", row["policy"]]
    with Path(folder, "log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(Path(folder, "log").read_text()[-2000:])
    return usage.ru_maxrss * 1024 / 1e6


def measure(path: Path, only: list[int] | None) -> None:
    keras = importlib.metadata.version("keras").split(".")[0]
    done = set()
    if path.exists():
        done = {tuple(list(row.values())[:-1]) for row in csv.DictReader(path.open())}
    for number, training in enumerate(TRAININGS):
        key = (keras, *map(str, training))
        if key in done or (only and number not in only):
            continue
        row = dict(zip(FIELDS, key, strict=False))
        with tempfile.TemporaryDirectory() as folder:
            # In a process of its own: what this one needs would count for the training's, whose
            # peak begins with that of the process that starts it.
            make = [sys.executable, __file__, "cells", folder, row["images"], row["side"]]
            subprocess.run(make, check=True)
            row["peak_mb"] = f"{peak_of(row, Path(folder)):.0f}"
        is_new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            if is_new:
                writer.writeheader()
            writer.writerow(row)
        print(" ".join(row.values()), flush=True)


def described(row: dict[str, str]) -> tuple[Any, Any]:
    """The configuration and the fingerprint of a training in the table."""
    from keras_unet3p.config import TrainingConfig
    from keras_unet3p.planning import Fingerprint

    options = {} if row["architecture"] == "unet3plus" else {"batch_norm": True}
    config = TrainingConfig(
        architecture=row["architecture"],
        filters=int(row["filters"]),
        patch_size=int(row["patch_size"]),
        batch_size=int(row["batch_size"]),
        loss=row["loss"],
        mixed_precision=row["policy"] or None,
        **options,
    )
    images, side = int(row["images"]), int(row["side"])
    fingerprint = Fingerprint(
        images=images, channels=1, mask_kind=row["masks"], num_classes=1, median_side=side,
        total_pixels=images * side**2, labeled_share=1.0, foreground_share=0.2,
        contrast_spread=1.0, neighbours_alike=0.0, objects_per_image=None, object_radius=None,
        touching_share=None, bytes_per_pixel=2.0,
    )  # fmt: skip
    return config, fingerprint


def fit(path: Path) -> None:
    import numpy as np
    from scipy.optimize import nnls

    from keras_unet3p.planning import memory, training_memory

    keras = importlib.metadata.version("keras").split(".")[0]
    rows = [row for row in csv.DictReader(path.open()) if row["keras"] == keras]
    terms, peaks = [], []
    for row in rows:
        config, fingerprint = described(row)
        parts = memory.parts_of(config, fingerprint)
        if row["role"] == "fit":
            terms.append(list(parts.values()))
            peaks.append(float(row["peak_mb"]) * 1e6 - memory.decoded_bytes(fingerprint))
        row["predicted"] = str(round((training_memory(config, fingerprint) or 0) / 1e6))
    values = dict(memory.FACTORS)
    if len(peaks) > len(values):
        # What counts is the error's share of the memory, not its bytes.
        weighted = np.array(terms) / np.array(peaks)[:, None]
        values = dict(zip(values, nnls(weighted, np.ones(len(peaks)))[0], strict=True))
    else:  # too few for all: the base alone, with the others as they are
        others = np.array(terms)[:, 1:] @ np.array(list(values.values()))[1:]
        values["base"] = float(np.mean(np.array(peaks) - others))
    for name, value in values.items():
        print(f"{name:<20} {value:.4g} (the source: {memory.FACTORS[name]:.4g})")
    for role in ("fit", "test"):
        errors = []
        for row in rows:
            if row["role"] == role:
                values = list(row.values())[:-2]
                errors.append(float(row["predicted"]) / float(row["peak_mb"]) - 1)
                print(
                    *list(row.values())[:-2], row["peak_mb"], row["predicted"], f"{errors[-1]:+.0%}"
                )
        if errors:
            sizes = np.abs(errors)
            print(f"{role}: mean {sizes.mean():.1%}, largest {sizes.max():.1%} of {len(sizes)}")


def main() -> None:
    if sys.argv[1:2] == ["cells"]:
        cells(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["measure", "fit"])
    parser.add_argument("--only", type=int, nargs="*")
    parser.add_argument("--out", type=Path, default=TABLE)
    options = parser.parse_args()
    if options.what == "measure":
        measure(options.out, options.only)
    else:
        fit(options.out)


if __name__ == "__main__":
    main()
