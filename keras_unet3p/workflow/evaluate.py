"""A model's masks against the truth, as numbers, tables and pictures."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p import data, pictures
from keras_unet3p.files import replacing, write_json
from keras_unet3p.workflow.load_predictor import load_predictor

Report = dict[str, Any]
_RANKED = re.compile(r"\d{4}_.*\.png")


def evaluate(
    model: str | os.PathLike[str],
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    mask_kind: str = "auto",
    tile_size: int = 512,
) -> Report:
    """Segment the images of a folder and compare the masks with the truth.

    Args:
        model: run folder, `.keras` file, exported model or endpoint URL.
        images: folder of images, or a multi-page TIFF.
        masks: folder of masks, paired with the images by stem.
        out: folder for `metrics.json`, `metrics.csv` and `pictures/`, worst images first; None
            writes nothing.
        mask_kind: `"binary"`, `"classes"`, `"instances"`, or `"auto"`, which looks at the masks.
        tile_size: side of the tiles, pixels.

    Returns:
        `{"columns": [...], "images": [{"name": ..., "dice": ..., ...}, ...], "overall": {...}}`,
        worst images first. Overall Dice and IoU come from the counts over all images; the other
        overall values are means over the images.

    Raises:
        ValueError: a file or an argument is not acceptable.
    """
    predictor = load_predictor(model, tile_size=tile_size)
    folder = data.open_folder(
        images, masks, mask_kind=mask_kind, normalization=predictor.normalization
    )
    return evaluate_folder(predictor, folder, out)


def evaluate_folder(
    predictor,
    folder: data.ImageFolder,
    out: str | os.PathLike[str] | None,
) -> Report:
    """As `evaluate`, for a loaded predictor and an opened folder."""
    rows = []
    counts = np.zeros((3, max(folder.num_classes, 2)), np.int64)
    folder_of_pictures = Path(out) / "pictures" if out is not None else None
    for sample in folder:
        prediction, truth = predictor.labels(sample.image), sample.labels
        if folder.mask_kind == "instances":
            prediction = data.label_instances(prediction, predictor.separation)
        own = _counts(truth, prediction, counts.shape[1])
        counts += own
        rows.append({"name": sample.name, **_scores(own)})
        if folder_of_pictures is not None:
            panel = pictures.result_panel(sample.image, sample.labels, prediction)
            pictures.write_picture(folder_of_pictures / f"{sample.name}.png", panel)
    rows.sort(key=lambda row: row["dice"])
    report: Report = {
        "columns": [name for name in rows[0] if name != "name"],
        "images": rows,
        "overall": _scores(counts),
    }
    if folder_of_pictures is not None:
        write_json(folder_of_pictures.parent / "metrics.json", report)
        _write_csv(folder_of_pictures.parent / "metrics.csv", report)
        _rank(folder_of_pictures, [row["name"] for row in rows])
    return report


def _rank(folder: Path, names: list[str]) -> None:
    """Put the rank, worst first, before the pictures' names; an earlier evaluation's go."""
    for path in folder.glob("*.png"):
        if _RANKED.match(path.name):
            path.unlink()
    for rank, name in enumerate(names):
        (folder / f"{name}.png").replace(folder / f"{rank:04d}_{name}.png")


def _counts(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """(3, classes): pixels of each class in both, in the truth, in the prediction."""
    if num_classes == 2:
        truth, prediction = truth > 0, prediction > 0
    confusion = np.bincount(
        truth.astype(np.int64).ravel() * num_classes + prediction.ravel(),
        minlength=num_classes**2,
    ).reshape(num_classes, num_classes)
    return np.stack([np.diag(confusion), confusion.sum(1), confusion.sum(0)])


def _scores(counts: np.ndarray) -> dict[str, float]:
    """Mean over the foreground classes; a class that is in neither counts as perfect."""
    both, truth, prediction = counts[:, 1:].astype(np.float64)
    either = truth + prediction - both
    present = either > 0
    safe = np.where(present, either, 1)
    iou = np.where(present, both / safe, 1.0)
    dice = 2 * iou / (1 + iou)
    total = counts[1].sum()
    return {
        "dice": float(dice.mean()),
        "iou": float(iou.mean()),
        "pixel_error": float(1 - counts[0].sum() / total),
    }


def _write_csv(path: Path, report: Report) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["name", *report["columns"]])
        writer.writeheader()
        writer.writerows(report["images"])
        writer.writerow({"name": "overall", **report["overall"]})
