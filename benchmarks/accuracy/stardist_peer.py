"""StarDist and this package on the same nuclei, given the same minutes on the same machine.

Each package in an environment of its own (StarDist wants TensorFlow 2.15 and NumPy 1); both are
scored by StarDist's own `stardist.matching`.

    pip install "tensorflow==2.15.*" "numpy<2" stardist opencv-python-headless     # environment 1
    python benchmarks/accuracy/stardist_peer.py stardist --data DATA --out OUT --minutes 15
    pip install keras_unet3p                                                       # environment 2
    python benchmarks/accuracy/stardist_peer.py keras_unet3p --data DATA --out OUT --minutes 15
    python benchmarks/accuracy/stardist_peer.py score --data DATA --out OUT --minutes 15     # 1

`DATA` holds `dsb2018_fluo` (images, labels, index.csv). Each package learns from the images of the
split "train" alone, of which it holds some back for its thresholds (StarDist a tenth, this package
a fifth, its default), and writes the ids of the images of the split "val" into `OUT/PACKAGE`.
StarDist as its examples have it: 32 rays, a grid of 2, 32 filters, crops of 256, the augmentation
of its notebooks (turns, mirrors, brightness, noise), thresholds optimised. This package by its
defaults: no option but the time. `score` prints the table, and writes `stardist_peer.csv` into OUT;
the file beside this one holds what was measured.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
PACKAGES = ("stardist", "keras_unet3p")


def names(data: Path, split: str) -> list[str]:
    with (data / "dsb2018_fluo" / "index.csv").open() as file:
        return [row["file"] for row in csv.DictReader(file) if row["split"] == split]


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise SystemExit(f"{path} cannot be read")
    return image


def train_stardist(data: Path, out: Path, minutes: float, seed: int) -> None:
    import tensorflow as tf
    from csbdeep.utils import normalize
    from stardist import fill_label_holes
    from stardist.models import Config2D, StarDist2D

    began = time.monotonic()
    np.random.seed(seed)  # noqa: NPY002 - StarDist draws from this state
    rng = np.random.default_rng(seed)
    tf.random.set_seed(seed)
    folder = data / "dsb2018_fluo"

    def pair(name: str):
        image = normalize(read(folder / "images" / name), 1, 99.8)
        return image, fill_label_holes(read(folder / "labels" / name))

    pairs = [pair(name) for name in names(data, "train")]
    order = np.random.default_rng(seed).permutation(len(pairs))
    held = set(order[: len(pairs) // 10].tolist())
    to_train = [pair for number, pair in enumerate(pairs) if number not in held]
    to_tune = [pair for number, pair in enumerate(pairs) if number in held]

    def augmented(image: np.ndarray, ids: np.ndarray):
        turns = rng.integers(4)
        image, ids = np.rot90(image, turns), np.rot90(ids, turns)
        if rng.integers(2):
            image, ids = image[:, ::-1], ids[:, ::-1]
        image = image * rng.uniform(0.6, 2) + rng.uniform(-0.2, 0.2)
        noise = 0.02 * rng.uniform(0, 1) * rng.normal(0, 1, image.shape)
        return image + noise, ids

    config = Config2D(
        n_rays=32,
        grid=(2, 2),
        n_channel_in=1,
        train_patch_size=(256, 256),
        train_batch_size=4,
        train_epochs=10_000,
        train_steps_per_epoch=50,
        train_tensorboard=False,
    )
    model = StarDist2D(config, name="stardist", basedir=str(out / "models"))
    model.prepare_for_training()

    class Budget(tf.keras.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            if time.monotonic() - began > 60 * minutes:
                self.model.stop_training = True

    budget = Budget()
    model.callbacks.append(budget)
    model.train(
        *map(list, zip(*to_train, strict=True)),
        validation_data=tuple(map(list, zip(*to_tune, strict=True))),
        augmenter=augmented,
    )
    model.optimize_thresholds(*map(list, zip(*to_tune, strict=True)))
    print(f"stardist: {budget.steps} steps of 4 crops, {time.monotonic() - began:.0f} s in all")
    for name in names(data, "val"):
        ids, _ = model.predict_instances(normalize(read(folder / "images" / name), 1, 99.8))
        cv2.imwrite(str(out / "stardist" / name), ids.astype(np.uint16))


def train_keras_unet3p(data: Path, out: Path, minutes: float, seed: int) -> None:
    began = time.monotonic()
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (out / split / kind).mkdir(parents=True, exist_ok=True)
            for name in names(data, split):
                link = out / split / kind / name
                link.unlink(missing_ok=True)
                os.symlink((data / "dsb2018_fluo" / kind / name).resolve(), link)
    command = [sys.executable, "-m", "keras_unet3p"]
    train = ["train", "--images", str(out / "train/images"), "--masks", str(out / "train/labels")]
    train += ["--out", str(out / "run"), "--hours", str(minutes / 60), "--seed", str(seed)]
    subprocess.run([*command, *train], check=True)
    print(f"keras_unet3p: {time.monotonic() - began:.0f} s in all")
    predict = ["predict", str(out / "run"), str(out / "val/images")]
    subprocess.run(
        [*command, *predict, "--out", str(out / "keras_unet3p"), "--no-overlays"], check=True
    )


def score(data: Path, out: Path, minutes: float) -> None:
    from stardist.matching import matching_dataset

    scored = names(data, "val")
    truths = [read(data / "dsb2018_fluo" / "labels" / name).astype(np.int32) for name in scored]
    rows = []
    for package in PACKAGES:
        if not (out / package).is_dir():
            continue
        found = [read(out / package / name).astype(np.int32) for name in scored]
        matched = matching_dataset(truths, found, thresh=THRESHOLDS, show_progress=False)
        values = [f"{result.accuracy:.3f}" for result in matched]  # tp / (tp + fp + fn)
        columns = ["package", "minutes", *(f"ap{100 * threshold:.0f}" for threshold in THRESHOLDS)]
        rows.append(dict(zip(columns, [package, f"{minutes:g}", *values], strict=True)))
        print(package, *values)
    with (out / "stardist_peer.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=(*PACKAGES, "score"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.step == "score":
        return score(given.data, given.out, given.minutes)
    (given.out / given.step).mkdir(parents=True, exist_ok=True)
    train = train_stardist if given.step == "stardist" else train_keras_unet3p
    return train(given.data, given.out, given.minutes, given.seed)


if __name__ == "__main__":
    main()
