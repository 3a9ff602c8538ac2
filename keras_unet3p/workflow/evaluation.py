"""A model's masks against the truth, as numbers, tables and pictures."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p import data, metrics, postprocessing
from keras_unet3p.artifacts import EvaluationReport
from keras_unet3p.artifacts.evaluation_report import PICTURES, REPORT
from keras_unet3p.config import MASK_KINDS, ReadingChoices
from keras_unet3p.errors import InputError
from keras_unet3p.files import (
    make_output_folder,
    printable,
    write_csv,
)
from keras_unet3p.images import MAX_PAGES, MAX_PIXELS, pictures
from keras_unet3p.progress import Progress, reporting
from keras_unet3p.reports import write_evaluation_page
from keras_unet3p.workflow.opening import open_model
from keras_unet3p.workflow.predictor import Predictor

# The measures of the table; the files hold all of them.
_MAIN = {
    "binary": ("dice", "iou", "pixel_error", "rand_error", "warping_error"),
    "classes": ("dice", "iou", "pixel_error", "hausdorff_95"),
    "instances": ("dice", "seg", "pq", "f1@0.5", "average_precision@0.5", "average_precision@0.8"),
}
_THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9)  # of the objects' IoU
_OF_MEAN = (0.5, 0.6, 0.7, 0.8, 0.9)
_UNRANKED = "unranked"


def evaluate(
    model: str | os.PathLike[str],
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str] | None = None,
    *,
    splits: Collection[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    mask_kind: str = "auto",
    ignore: int | str | None = "auto",
    tile_size: int = 512,
    test_time_augmentation: int | None = None,
    max_pixels: int = MAX_PIXELS,
    max_pages: int = MAX_PAGES,
    accept_values: bool = False,
    reading: ReadingChoices | None = None,
    progress: Progress = False,
) -> EvaluationReport:
    """Segment the images of a folder and compare the masks with the truth.

    Args:
        model: run folder, `.keras` file, exported model or endpoint URL; see `open_model`, also
            for what follows its network.
        images: folder of images, a multi-page TIFF, a pattern, an address, or a table of pairs; see
            `data.open_images`.
        masks: folder of masks, paired with the images by stem; None for a table.
        splits: of a table, whose rows; None takes those of test, or all where there are none.
        out: folder for `metrics.json`, `metrics.csv`, of slices of volumes `volumes.csv`,
            `pictures/` and `report.html`, worst images first; None writes nothing.
        mask_kind: `"binary"`, `"classes"`, `"instances"`, or `"auto"`: that of the training, where
            the model tells it; else classes where the network has several; else what the masks look
            like.
        ignore: the mask value of unlabelled pixels, which no measure counts (see
            `metrics.evaluate_labels`); None where all are labelled; `"auto"`: that of the training,
            where the model tells it. Images without a labelled pixel are left out.
        tile_size: side of the tiles, pixels.
        test_time_augmentation: as `open_model`.
        max_pixels: as `predict`.
        max_pages: as `predict`.
        accept_values, reading, progress: as `predict`.

    Returns:
        For each image, the worst ones first, the measures of `metrics.evaluate_labels`, and over
        all of them those of `metrics.summarize_evaluations`.

    Raises:
        ValueError: a file or an argument is not acceptable.

    Example:
        >>> report = evaluate("runs/cells", "images", "masks")  # doctest: +SKIP
        >>> report.overall["dice"], report.images[0]["name"]  # doctest: +SKIP
        (0.93, 'cell_7')
    """
    if mask_kind not in MASK_KINDS:
        raise InputError(f"mask_kind must be one of {list(MASK_KINDS)}, found {mask_kind!r}")
    if out is not None and Path(images).resolve() == (Path(out) / PICTURES).resolve():
        raise InputError(f"out: the pictures would be written into the folder of images {images}")
    if out is not None:
        make_output_folder(out)
    predictor = open_model(
        model, tile_size=tile_size, test_time_augmentation=test_time_augmentation
    )
    several = (predictor.num_classes or 1) > 1
    if mask_kind == "auto":
        mask_kind = predictor.mask_kind or ("classes" if several else "auto")
    opened = data.open_images(
        images,
        masks,
        splits=_splits(images) if splits is None else splits,
        mask_kind=mask_kind,
        ignore=_ignore(ignore, predictor),
        classes=predictor.class_values or (predictor.num_classes if several else None),
        normalization=predictor.normalization,
        max_pixels=max_pixels,
        max_pages=max_pages,
        accept_values=accept_values,
        reading=predictor.reading_of(images, reading),
        progress=progress,
    )
    if opened.mask_kind == "classes" and predictor.num_classes == 1:
        raise InputError(
            f"masks: {masks} looks like masks of classes, and the network tells background from "
            "foreground only; give mask_kind, 'instances' or 'binary'"
        )
    report = evaluate_images(predictor, opened, out, progress=progress)
    if out is not None:
        write_evaluation_page(out, report, model)
    return report


def _ignore(ignore: int | str | None, predictor: Predictor) -> int | None:
    if ignore == "auto":
        return predictor.ignore
    if isinstance(ignore, str):
        raise InputError(f"ignore is {ignore!r}; expected a mask value, None or 'auto'")
    return ignore


def evaluate_images(
    predictor,
    opened: data.LabeledImages,
    out: str | os.PathLike[str] | None,
    *,
    labels: Callable[[int], np.ndarray] | None = None,
    progress: Progress = False,
) -> EvaluationReport:
    """As `evaluate`, for a loaded predictor and opened images; it writes no page.

    Args:
        predictor: segments the images.
        opened: images with their masks.
        out: see `evaluate`.
        labels: gives the class ids (H, W) of an image by its number, where they are known; or the
            instance ids, where the predictor gives instances.
        progress: see `keras_unet3p.progress.reporting`.

    Example:
        >>> import numpy as np
        >>> from keras_unet3p.workflow.predictor import Predictor, unit_values
        >>> image, mask = np.array([[[0.2], [0.9]]], "float32"), np.array([[0, 1]], "uint8")
        >>> opened = data.open_images([image], [mask], mask_kind="binary")
        >>> is_bright = lambda image: (image[..., 0] > 0.5).astype("uint8")
        >>> bright = Predictor(is_bright, 1, unit_values(1))
        >>> evaluate_images(bright, opened, None).overall["dice"]
        1.0
    """
    rows, evaluations = [], []
    # Masks of instances are compared with instances, masks of cells that a watershed has parted
    # with these cells, and others with the masks of the model.
    segment, numbered = predictor.labels, predictor.instances
    if opened.mask_kind == "instances" and numbered is not None:
        segment = numbered
    elif predictor.mask_kind == opened.mask_kind == "binary" and numbered is not None:

        def segment(image: np.ndarray) -> np.ndarray:
            return postprocessing.parted(numbered(image))

    picture_folder = make_output_folder(Path(out) / PICTURES) if out is not None else None
    outdated = earlier_pictures(Path(out)) if out is not None else []
    count = len(opened.names)
    with reporting(progress, count, "evaluating") as report_step:
        for number, name in enumerate(opened.names):
            image, truth = opened.stored(number)
            prediction = segment(image) if labels is None else labels(number)
            if opened.mask_kind == "instances" and predictor.instances is None:
                prediction = postprocessing.label_instances(prediction, predictor.separation)
            measures = metrics.evaluate_labels(
                truth,
                prediction,
                mask_kind=opened.mask_kind,
                num_classes=opened.num_classes if opened.mask_kind == "classes" else None,
                ignore_class=None if opened.ignore is None else data.IGNORED,
                object_thresholds=_THRESHOLDS,
            )
            evaluations.append(measures)
            rows.append({"name": name, **_shown(_with_mean_precision(measures))})
            errors = None
            if opened.mask_kind == "instances":
                errors = metrics.object_errors(*_known(truth, prediction))
                rows[-1] |= errors.counts()
            if picture_folder is not None:
                panel = (
                    pictures.result_panel(image, truth, prediction)
                    if errors is None
                    else _instance_panel(image, truth, prediction, errors)
                )
                pictures.write_picture(_unranked(picture_folder, number), panel)
            report_step(number + 1, count)
    volumes = _of_volumes(opened.volumes, evaluations)
    order = sorted(range(len(rows)), key=lambda number: rows[number]["dice"])
    rows = [rows[number] for number in order]
    overall = _with_mean_precision(metrics.summarize_evaluations(evaluations))
    if opened.mask_kind == "instances":
        overall |= {name: sum(row[name] for row in rows) for name in pictures.ERROR_COLOURS}
    report = EvaluationReport(
        mask_kind=opened.mask_kind,
        columns=[name for name in _MAIN[opened.mask_kind] if name in rows[0]],
        images=rows,
        overall=_shown(overall),
        volumes=volumes,
    )
    if picture_folder is not None:
        for picture in outdated:
            picture.unlink(missing_ok=True)
        report.write(picture_folder.parent / REPORT)
        _write_csv(picture_folder.parent / "metrics.csv", report)
        for rank, number in enumerate(order):
            picture = _unranked(picture_folder, number)
            picture.replace(report.picture(picture_folder.parent, rank))
        shutil.rmtree(picture_folder / _UNRANKED)
    return report


def _of_volumes(
    volumes: list[str | None], evaluations: list[dict[str, float]]
) -> list[dict[str, Any]]:
    """The measures over the slices of each volume, the worst first."""
    slices: dict[str, list[dict[str, float]]] = {}
    for volume, measures in zip(volumes, evaluations, strict=True):
        if volume is not None:
            slices.setdefault(volume, []).append(measures)
    rows = [
        {
            "name": Path(volume).name,
            "slices": len(of_volume),
            **_shown(_with_mean_precision(metrics.summarize_evaluations(of_volume))),
        }
        for volume, of_volume in slices.items()
    ]
    return sorted(rows, key=lambda row: row["dice"] if row["dice"] is not None else 0.0)


def _known(truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both with background where the truth is unlabelled."""
    known = truth >= 0
    return np.where(known, truth, 0), np.where(known, prediction, 0)


def _instance_panel(
    image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, errors: metrics.ObjectErrors
) -> np.ndarray:
    true, predicted = _known(truth, prediction)
    masks = {
        name: np.isin(predicted if name == "extra" else true, getattr(errors, name))
        for name in pictures.ERROR_COLOURS
    }
    return pictures.instance_panel(image, truth, prediction, masks, errors.counts())


def _with_mean_precision(measures: dict[str, float]) -> dict[str, float]:
    """With `average_precision`, the mean over the thresholds 0.5 to 0.9, if there are objects."""
    names = [f"average_precision@{threshold:g}" for threshold in _OF_MEAN]
    if names[0] not in measures:
        return measures
    return {**measures, "average_precision": float(np.mean([measures[name] for name in names]))}


def _unranked(folder: Path, number: int) -> Path:
    # In a folder of their own: an image's name may look like one with a rank.
    return folder / _UNRANKED / f"{number}.png"


def _splits(images: str | os.PathLike[str]) -> tuple[str, ...] | None:
    """The rows of a table that no training saw, if it says so."""
    if not data.is_image_list(images):
        return None
    return ("test",) if any(row.split == "test" for row in data.read_image_list(images)) else None


def earlier_pictures(out: Path) -> list[Path]:
    """Those that an earlier evaluation wrote into `out`, and nothing else that lies there.

    Raises:
        ValueError: that evaluation's report, which tells them, is damaged or of a newer format.

    Example:
        >>> earlier_pictures(Path("nowhere"))
        []
    """
    report = out / REPORT
    if not report.is_file():
        return []
    earlier = EvaluationReport.read(report)
    return [earlier.picture(out, rank) for rank in range(len(earlier.images))]


def _shown(measures: dict[str, float]) -> dict[str, float | None]:
    """Without the counts; what is not a finite number, which JSON cannot hold, as None."""
    return {
        name: value if math.isfinite(value) else None
        for name, value in measures.items()
        if not name.startswith("count_")
    }


def _write_csv(path: Path, report: EvaluationReport) -> None:
    rows = [{**row, "name": printable(row["name"])} for row in report.images]
    if report.volumes:
        write_csv(path.with_name("volumes.csv"), list(report.volumes[0]), report.volumes)
    write_csv(path, list(report.images[0]), [*rows, {"name": "overall", **report.overall}])
