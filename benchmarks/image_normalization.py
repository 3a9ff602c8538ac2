"""What it is worth to normalise each image by its own percentiles, where images differ in contrast.

A small U-Net is trained on the fluorescence nuclei of the 2018 Data Science Bowl, once with one
rule for the whole set and once with the percentiles of each image; same images, steps and seeds.
Prints the measures on the held-back images. The folder holds images/, labels/ and index.csv with
the columns "file" and "split" (train, val).

    python benchmarks/image_normalization.py DATA/dsb2018_fluo [--steps 300] [--seeds 2]
"""

from __future__ import annotations

import argparse
import csv
import shutil
import statistics
import tempfile
from pathlib import Path

from rich.console import Console

from keras_unet3p import workflow

MEASURES = ("dice", "seg", "f1@0.5", "f1@0.75")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    print(f"| normalization | seed | {' | '.join(MEASURES)} | Dice of the worst tenth |")
    print("| --- " * (len(MEASURES) + 3) + "|")
    with tempfile.TemporaryDirectory() as folder:
        parts = split_images(arguments.data, Path(folder))
        for seed in range(arguments.seeds):
            for mode in ("set", "image"):
                row = train_and_judge(parts, Path(folder) / f"{mode}-{seed}", mode, seed, arguments)
                print(f"| {mode} | {seed} | {' | '.join(f'{v:.3f}' for v in row)} |", flush=True)


def split_images(data: Path, folder: Path) -> dict[str, Path]:
    """Folders of links to the images and masks of each part."""
    parts = {}
    with (data / "index.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            parts[row["split"]] = folder / row["split"]
            name = f"{Path(row['file']).stem}.png"
            for kind in ("images", "labels"):
                target = folder / row["split"] / kind / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to((data / kind / name).resolve())
    return parts


def train_and_judge(parts: dict[str, Path], run: Path, mode: str, seed: int, arguments):
    config = workflow.TrainingConfig(
        architecture="unet",
        filters=12,
        batch_norm=True,
        loss="weighted_cross_entropy",
        normalization=mode,
        patch_size=128,
        batch_size=8,
        epochs=1,
        steps_per_epoch=arguments.steps,
        seed=seed,
    )
    train, held_back = parts["train"], parts["val"]
    workflow.train(
        train / "images",
        train / "labels",
        config,
        out=run,
        validation_images=held_back / "images",
        validation_masks=held_back / "labels",
        console=Console(quiet=True),
    )
    report = workflow.evaluate(run, held_back / "images", held_back / "labels")
    shutil.rmtree(run)
    worst = report.images[: max(len(report.images) // 10, 1)]
    worst_dice = statistics.mean(row["dice"] for row in worst)
    return [*(report.overall[name] for name in MEASURES), worst_dice]


if __name__ == "__main__":
    main()
