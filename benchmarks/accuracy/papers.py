"""The tables of the papers of U-Net and UNet 3+ on free images, the same time for every row.

    python benchmarks/accuracy/papers.py tasks --data DATA --out OUT --minutes 60
    python benchmarks/accuracy/papers.py networks --data DATA --out OUT --minutes 20
    python benchmarks/accuracy/papers.py losses --data DATA --out OUT --minutes 20
    python benchmarks/accuracy/papers.py changes --data DATA --out OUT --minutes 10 --sets isbi

`tasks`: U-Net's two tasks and nuclei, by this package's defaults: no option but the time; scored
as training chose, and over 8 symmetries.
`networks`: UNet 3+'s table of networks, each with the filters that bring its parameters nearest to
those of a U-Net of 16 filters, with the same loss. `losses`: UNet 3+ (deep supervision) under the
terms of its hybrid loss, and their sums. `changes`: this package's defaults with one thing changed.

`DATA` holds `isbi2012` (consecutive sections; a fold holds out six), `ctc_dic_hela` (gold, silver;
a fold holds out a third of the film, and is scored on its gold frames) and `dsb2018_fluo`
(index.csv; the split "val" is held out). What is held out is not looked at in training, which holds
back a fifth of the rest to choose by.

A row is trained in a folder of its own in OUT, and what is measured is appended to
`OUT/papers.csv`; rows that stand there are left out, and a killed one goes on. `--rows` and
`--sets` choose; the file beside this one holds what was measured.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

KEY = ("table", "set", "fold", "row", "minutes", "seed")
FACTS = ("parameters", "steps", "step_seconds")
SCORES = (
    *("dice", "pixel_error", "pixel_error_at_half", "rand_error", "warping_error"),
    *("seg", "ap50", "ap60", "ap70", "ap80", "ap90", "mean_ap"),
)
COLUMNS = (*KEY, *FACTS, *SCORES, "rule")
AP_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
PARAMETERS_OF = {"architecture": "unet", "filters": 16, "batch_norm": True}


class Pair(NamedTuple):
    """A row of the table that `unet3p train --images` takes."""

    image: Path
    mask: Path
    split: str


def isbi(data: Path, fold: int) -> Iterator[Pair]:
    for path in sorted((data / "isbi2012" / "images").glob("*.png")):
        held = int(path.stem) // 6 == fold
        mask = data / "isbi2012" / "labels" / path.name
        yield Pair(path, mask, "test" if held else "train")


def hela(data: Path, fold: int) -> Iterator[Pair]:
    low, high = [(0, 27), (27, 54), (54, 1000)][fold]
    for kind in ("gold", "silver"):
        folder = data / "ctc_dic_hela" / kind
        for path in sorted((folder / "images").glob("*.png")):
            held = low <= int(path.stem.split("t")[-1]) < high
            if held and kind == "silver":
                continue  # a truth that programs made; and neighbours of what is held out
            yield Pair(path, folder / "labels" / path.name, "test" if held else "train")


def nuclei(data: Path, fold: int) -> Iterator[Pair]:
    folder = data / "dsb2018_fluo"
    with (folder / "index.csv").open() as file:
        for row in csv.DictReader(file):
            split = "test" if row["split"] == "val" else "train"
            yield Pair(folder / "images" / row["file"], folder / "labels" / row["file"], split)


SETS: dict[str, tuple[Callable[[Path, int], Iterator[Pair]], int]] = {
    "isbi": (isbi, 4),
    "hela": (hela, 3),
    "nuclei": (nuclei, 1),
}
"""Its pairs, and the number of folds."""

# How the tables of networks and of losses look at a set: the papers' are of pixels and classes.
OF_SET: dict[str, dict[str, Any]] = {
    "isbi": {"contiguous_validation": True, "measure": "rand"},
    "hela": {"contiguous_validation": True, "mask_kind": "binary"},
    "nuclei": {"mask_kind": "binary"},
}
RECIPE = {
    "patch_size": 256,
    "batch_size": 4,
    "learning_rate": 2e-3,
    "steps_per_epoch": 100,
    "mixed_precision": "mixed_bfloat16",
}
NETWORKS: dict[str, dict[str, Any]] = {
    "U-Net": {"architecture": "unet", "batch_norm": True},
    "UNet++": {
        "architecture": "unetplusplus",
        "batch_norm": True,
        "deep_supervision": True,
    },
    "Attention U-Net": {"architecture": "attention_unet", "batch_norm": True},
    "UNet 3+": {"architecture": "unet3plus", "deep_supervision": False},
    "UNet 3+, deep supervision": {"architecture": "unet3plus", "deep_supervision": True},
    "UNet 3+, classification-guided": {
        "architecture": "unet3plus",
        "deep_supervision": True,
        "classification_guided": True,
    },
}
LOSSES = (
    *("weighted_cross_entropy", "focal", "ms_ssim", "iou"),
    *("focal+ms_ssim", "focal+iou", "ms_ssim+iou", "hybrid"),
)
CHANGES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "cross-entropy": {"loss": "weighted_cross_entropy"},
    "cross-entropy, border weights": {"loss": "weighted_cross_entropy", "border_weights": "yes"},
    "border weights": {"border_weights": "yes"},
    "24 filters": {**RECIPE, **OF_SET["isbi"], **NETWORKS["U-Net"], "filters": 24},
    "patches of 384, batch of 2": {"patch_size": 384, "batch_size": 2},
    "5 folds, a fifth of the time each": {"folds": 5},
}


def rows_of(table: str) -> dict[str, dict[str, Any]]:
    """The rows of a table: names, and the options of each."""
    if table == "tasks":
        return {"defaults": {}}
    if table == "changes":
        return CHANGES
    if table == "networks":
        return {name: {**RECIPE, **options} for name, options in NETWORKS.items()}
    network = NETWORKS["UNet 3+, deep supervision"]
    return {loss: {**RECIPE, **network, "loss": loss} for loss in LOSSES}


def parameters(architecture: str, filters: int, **options: Any) -> int:
    from keras_unet3p import models

    build = getattr(models, architecture)
    return build((None, None, 1), num_classes=1, filters=filters, **options).count_params()


def with_filters(options: dict[str, Any]) -> dict[str, Any]:
    """A network's options with the filters that have the parameters nearest to `PARAMETERS_OF`."""
    own = {
        name: options[name]
        for name in ("batch_norm", "deep_supervision", "classification_guided")
        if name in options
    }
    wanted = parameters(**PARAMETERS_OF)
    filters = min(
        range(4, 33, 2),
        key=lambda count: abs(parameters(options["architecture"], count, **own) - wanted),
    )
    return {**options, "filters": filters}


def as_arguments(options: dict[str, Any]) -> list[str]:
    arguments = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            arguments += [f"--{flag}", str(value)]
    return arguments


def train(pairs: list[Pair], run: Path, minutes: float, seed: int, options: dict[str, Any]) -> None:
    run.mkdir(parents=True, exist_ok=True)
    table = run.parent / f"{run.name}.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Pair._fields)
        writer.writerows((pair.image.resolve(), pair.mask.resolve(), pair.split) for pair in pairs)
    command = [sys.executable, "-m", "keras_unet3p", "train", "--images", str(table)]
    hours = minutes / 60 / options.get("folds", 1)  # each fold's
    command += ["--out", str(run), "--hours", str(hours), "--seed", str(seed)]
    subprocess.run([*command, *as_arguments(options)], check=True)


def scores(run: Path, pairs: list[Pair], symmetries: int | None) -> dict[str, Any]:
    """What the run's best network, and the rule that training chose, make of the held-out images,
    over so many of their symmetries; None for as many as training chose.

    The measures are those of `metrics.summarize_evaluations`, AP over the objects of all images.
    `pixel_error_at_half` is that of the probabilities from 0.5 on: where a watershed parts cells,
    the lines between them are a pixel wide, which its mask's pixel error counts.
    """
    import numpy as np
    from skimage import io

    from keras_unet3p import metrics, postprocessing
    from keras_unet3p.images import read_image
    from keras_unet3p.workflow import open_model

    predictor = open_model(run, test_time_augmentation=symmetries)
    assert predictor.probabilities is not None
    images, matched = [], {threshold: np.zeros(3) for threshold in AP_THRESHOLDS}
    for pair in pairs:
        if pair.split != "test":
            continue
        image = read_image(pair.image)[0]
        truth = io.imread(pair.mask).astype(np.int64)  # as it is stored: ids
        kind = "instances" if predictor.mask_kind == "instances" else "binary"
        found = (predictor.instances or predictor.labels)(image)
        if kind == "binary" and predictor.instances is not None:
            found = postprocessing.parted(found)  # as `unet3p evaluate` does
        measured = metrics.evaluate_labels(truth, found, mask_kind=kind)
        half = predictor.probabilities(image)[..., 0] >= 0.5
        measured["pixel_error_at_half"] = float((half != (truth > 0)).mean())
        images.append(measured)
        if kind == "instances":
            for threshold, total in matched.items():
                counts = metrics.object_scores(truth, found, threshold)
                total += counts.matched, counts.missed, counts.extra
    whole = metrics.summarize_evaluations(images)
    whole["pixel_error_at_half"] = np.mean([image["pixel_error_at_half"] for image in images])
    if predictor.mask_kind == "instances":
        aps = [total[0] / total.sum() for total in matched.values()]
        names = [f"ap{100 * threshold:.0f}" for threshold in AP_THRESHOLDS]
        whole |= {**dict(zip(names, aps, strict=True)), "mean_ap": np.mean(aps)}
    found = {name: f"{value:.5g}" for name, value in whole.items() if name in SCORES}
    return {**found, "rule": str(predictor.rule)}


def facts(run: Path) -> dict[str, Any]:
    """Over the networks of all folds, where there are several."""
    from keras_unet3p.artifacts import ModelSource, RunFolder, read_folds
    from keras_unet3p.workflow.network_of_source import network_of

    folds = read_folds(run)
    steps, seconds = 0, 0.0
    for folder in [RunFolder(run)] if folds is None else folds.runs(run):
        rows = folder.read_history().rows
        steps += int(folder.read_record().training["steps_per_epoch"]) * len(rows)
        seconds += sum(row["seconds"] for row in rows)
    return {
        "parameters": network_of(ModelSource.of(run)).count_params(),
        "steps": steps,
        "step_seconds": f"{seconds / steps:.3g}",
    }


def measured(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def append(table: Path, columns: Sequence[str], row: dict[str, Any]) -> None:
    """Add a row to a CSV file, which begins with the names of its columns."""
    is_new = not table.is_file()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns)
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=("tasks", "networks", "losses", "changes"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["isbi", "nuclei"])
    parser.add_argument("--folds", nargs="+", type=int, help="all of a set by default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--rows", nargs="+")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    table = given.out / "papers.csv"
    rows = rows_of(given.table)
    unknown = set(given.rows or ()) - set(rows)
    if unknown:
        parser.error(f"--rows: {', '.join(unknown)}; expected some of {', '.join(rows)}")
    for name in given.sets:
        pairs_of, folds = SETS[name]
        for fold in range(folds) if given.folds is None else given.folds:
            for seed in given.seeds:
                for row in given.rows or rows:
                    key = [given.table, name, fold, row, f"{given.minutes:g}", seed]
                    key = dict(zip(KEY, map(str, key), strict=True))
                    scored = {row: None}  # by how many symmetries; None as training chose
                    if given.table == "tasks":
                        scored[f"{row}, 8 symmetries"] = 8
                    there = [{one: other[one] for one in KEY} for other in measured(table)]
                    missing = [one for one in scored if {**key, "row": one} not in there]
                    if not missing:
                        continue
                    options = rows[row]
                    if given.table in ("networks", "losses"):
                        options = {**with_filters(options), **OF_SET[name]}
                    pairs = list(pairs_of(given.data, fold))
                    run = given.out / "_".join(key.values()).replace(" ", "_").replace(",", "")
                    began = time.monotonic()
                    train(pairs, run, given.minutes, seed, options)
                    for one in missing:
                        found = {**key, "row": one, **facts(run), **scores(run, pairs, scored[one])}
                        print(f"{time.monotonic() - began:.0f} s: {found}", flush=True)
                        append(table, COLUMNS, found)


if __name__ == "__main__":
    main()
