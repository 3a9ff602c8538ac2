"""All measures of one predicted label image, and the summary of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.metrics._labels import checked_labels, overlaps
from keras_unet3p.metrics.borders import hausdorff_distance
from keras_unet3p.metrics.objects import (
    ObjectScores,
    matched_jaccard,
    object_scores,
    panoptic_quality,
    quality_of,
    seg,
)
from keras_unet3p.metrics.partitions import rand_error, variation_of_information
from keras_unet3p.metrics.pixels import pixel_error
from keras_unet3p.metrics.topology import warping_error
from keras_unet3p.postprocessing.regions import connected_regions

MASK_KINDS = ("binary", "classes", "instances")
COUNT_PREFIX = "count_"


def evaluate_labels(
    truth,
    prediction,
    *,
    mask_kind: str = "binary",
    num_classes: int | None = None,
    ignore_class: int | None = None,
    object_thresholds: Sequence[float] = (0.5, 0.75),
) -> dict[str, float]:
    """Measures of one image by name, all plain floats.

    Every kind: `dice`, `iou`, `precision`, `recall` of the foreground pixels (with "classes", the
    means over the classes from 1 and `dice_1`, ... of each), `pixel_error`, `hausdorff_95` (in
    pixels).
    "binary" and "instances": `rand_error`, `voi_split`, `voi_merge`, `seg`, `pq`, and for each
    threshold t of the IoU `precision@t`, `recall@t`, `f1@t`, `average_precision@t` of the objects.
    "binary", whose objects are its 4-connected regions, also: `warping_error`.

    Pixels of `ignore_class` in the truth are unlabelled and count in no measure. Of the pixels only
    the labelled ones are compared (Dice, IoU, precision, recall, pixel error; the Rand error and
    the variation of information, which look at the truth's foreground only). For the measures of
    shapes the unlabelled pixels are background in both, so an object is what is labelled of it:
    objects of the prediction that lie there altogether are not looked at, those of both are cut
    at the same line and compared by the rest, and borders along that line are in both. The warping
    error is the share of the labelled pixels.

    Names that begin with `count_` are what `summarize_evaluations` needs for the whole set.

    Args:
        truth, prediction: (H, W) labels: 0 and 1 ("binary"; anything above 0 is foreground), class
            ids ("classes") or instance ids ("instances").
        mask_kind: What the labels are.
        num_classes: For "classes", their number with the background.
        ignore_class: The label of unlabelled pixels in the truth, or None; may be negative.
        object_thresholds: Thresholds of the intersection over union of objects.

    Raises:
        ValueError: For shapes that differ, values that are not labels, class ids from num_classes,
            and a truth without a labelled pixel.

    Example:
        >>> truth, prediction = np.zeros((2, 16, 16), int)
        >>> truth[2:8, 2:8] = 1
        >>> prediction[2:8, 2:5] = 1
        >>> scores = ku.metrics.evaluate_labels(truth, prediction)
        >>> round(scores["dice"], 3), scores["precision"], scores["recall"]
        (0.667, 1.0, 0.5)
    """
    truth, prediction, labelled = _of_labelled_pixels(truth, prediction, ignore_class)
    if mask_kind not in MASK_KINDS:
        raise InputError(f"mask_kind must be one of {MASK_KINDS}; received {mask_kind!r}.")
    if mask_kind == "classes":
        return _of_classes(truth, prediction, num_classes, labelled)

    true_mask, predicted_mask = truth > 0, prediction > 0
    counts = _pixel_counts(true_mask, predicted_mask)
    results = {
        **pixel_scores(*counts.values()),
        "pixel_error": _share(pixel_error(true_mask, predicted_mask), truth, labelled),
        "hausdorff_95": hausdorff_distance(true_mask, predicted_mask),
    }
    if mask_kind == "binary":
        error = warping_error(true_mask, predicted_mask).error
        results["warping_error"] = _share(error, truth, labelled)
        truth, prediction = connected_regions(truth)[0], connected_regions(prediction)[0]
    information = variation_of_information(truth, prediction)
    results |= {
        "rand_error": rand_error(truth, prediction).error,
        "voi_split": information.split,
        "voi_merge": information.merge,
        "seg": seg(truth, prediction),
        "pq": panoptic_quality(truth, prediction),
    }
    objects = {"objects_jaccard": matched_jaccard(overlaps(truth, prediction))}
    for threshold in object_thresholds:
        scores = object_scores(truth, prediction, threshold)
        results |= {
            f"precision@{threshold:g}": scores.precision,
            f"recall@{threshold:g}": scores.recall,
            f"f1@{threshold:g}": scores.f1,
            f"average_precision@{threshold:g}": scores.average_precision,
        }
        objects |= {
            f"objects_matched@{threshold:g}": scores.matched,
            "objects_true": scores.matched + scores.missed,
            "objects_predicted": scores.matched + scores.extra,
        }
    counts |= {"pixels": labelled, **objects}
    return _floats(results) | _floats({f"{COUNT_PREFIX}{name}": n for name, n in counts.items()})


def _of_labelled_pixels(
    truth, prediction, ignore_class: int | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Both with background on the unlabelled pixels, and the number of the others."""
    if ignore_class is None:
        truth, prediction = checked_labels(truth, prediction)
        return truth, prediction, truth.size
    truth = np.asarray(truth)
    ignored = truth == ignore_class
    truth, prediction = checked_labels(np.where(ignored, 0, truth), prediction)
    labelled = truth.size - int(np.count_nonzero(ignored))
    if not labelled:
        raise InputError(f"truth holds ignore_class={ignore_class} only; expected labelled pixels.")
    prediction[ignored] = 0
    return truth, prediction, labelled


def _share(of_all: float, truth: np.ndarray, labelled: int) -> float:
    """A share of all pixels as one of the labelled pixels."""
    return of_all if labelled == truth.size else of_all * truth.size / labelled


def pixel_scores(both, true, predicted) -> dict[str, float]:
    """Dice, IoU, precision and recall from counts of pixels; of nothing to nothing they are 1."""

    def ratio(part, whole):
        return float(part) / float(whole) if whole else 1.0

    return {
        "dice": ratio(2 * both, true + predicted),
        "iou": ratio(both, true + predicted - both),
        "precision": ratio(both, predicted),
        "recall": ratio(both, true),
    }


def _of_classes(truth, prediction, num_classes: int | None, labelled: int) -> dict[str, float]:
    highest = max(truth.max(), prediction.max())
    if num_classes is None or num_classes < 2:
        raise InputError(f"classes need num_classes of 2 or more; received {num_classes}.")
    if highest >= num_classes:
        raise InputError(
            f"labels must be class ids below num_classes={num_classes}; received {highest}."
        )
    results: dict[str, float] = {}
    counts: dict[str, float] = {"pixels": labelled}
    for k in range(1, num_classes):
        true_mask, predicted_mask = truth == k, prediction == k
        class_counts = _pixel_counts(true_mask, predicted_mask)
        class_results = pixel_scores(*class_counts.values())
        class_results["hausdorff_95"] = hausdorff_distance(true_mask, predicted_mask)
        results |= {f"{name}_{k}": value for name, value in class_results.items()}
        counts |= {f"{name}_{k}": count for name, count in class_counts.items()}
    means = {
        name: sum([results[f"{name}_{k}"] for k in range(1, num_classes)]) / (num_classes - 1)
        for name in ("dice", "iou", "precision", "recall", "hausdorff_95")
    }
    error = _share(pixel_error(truth, prediction), truth, labelled)
    results = {**means, "pixel_error": error, **results}
    return _floats(results) | _floats({f"{COUNT_PREFIX}{name}": n for name, n in counts.items()})


def _pixel_counts(true_mask, predicted_mask) -> dict[str, float]:
    masks = {"both": true_mask & predicted_mask, "true": true_mask, "predicted": predicted_mask}
    return {name: float(np.count_nonzero(mask)) for name, mask in masks.items()}


def _floats(values) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}


def summarize_evaluations(evaluations: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Measures of a set of images from the dictionaries that `evaluate_labels` gave for each.

    Dice, IoU, precision and recall of pixels and of objects come from the counts summed over
    all images; SEG is the mean over all reference objects, as in the Cell Tracking Challenge; the
    pixel error is that of all pixels; the others (Rand, warping and Hausdorff measures) are means
    over the images. Counts are sums.

    Args:
        evaluations: One dictionary per image, all of the same kind and options.

    Raises:
        ValueError: For no evaluations, or evaluations with different names.

    Example:
        >>> truth, prediction = np.zeros((2, 16, 16), int)
        >>> truth[2:8, 2:8] = 1
        >>> images = [(truth, truth), (truth, prediction)]
        >>> scores = [ku.metrics.evaluate_labels(*pair) for pair in images]
        >>> summary = ku.metrics.summarize_evaluations(scores)
        >>> round(summary["dice"], 3)
        0.667
    """
    if not evaluations:
        raise InputError("evaluations must hold at least one image.")
    names = list(evaluations[0])
    for index, evaluation in enumerate(evaluations):
        if set(evaluation) != set(names):
            raise InputError(
                "evaluations must have the same measures; "
                f"number {index} differs in {sorted(set(evaluation) ^ set(names))}."
            )
    columns = {name: np.array([each[name] for each in evaluations]) for name in names}
    summary = {
        name: float(values.sum() if name.startswith(COUNT_PREFIX) else values.mean())
        for name, values in columns.items()
    }

    def total(name):
        return summary[COUNT_PREFIX + name]

    pixels = columns[COUNT_PREFIX + "pixels"]
    summary["pixel_error"] = float(np.average(columns["pixel_error"], weights=pixels))
    if COUNT_PREFIX + "both" in summary:
        summary |= pixel_scores(total("both"), total("true"), total("predicted"))
    else:
        classes = [name.split("_")[-1] for name in names if name.startswith(COUNT_PREFIX + "both_")]
        scores = {
            k: pixel_scores(total(f"both_{k}"), total(f"true_{k}"), total(f"predicted_{k}"))
            for k in classes
        }
        for k, of_class in scores.items():
            summary |= {f"{name}_{k}": value for name, value in of_class.items()}
        for name in ("dice", "iou", "precision", "recall"):
            summary[name] = float(np.mean([of_class[name] for of_class in scores.values()]))

    if COUNT_PREFIX + "objects_true" in summary:
        objects = columns[COUNT_PREFIX + "objects_true"]
        if objects.any():
            summary["seg"] = float(np.average(columns["seg"], weights=objects))
        both = total("objects_true") + total("objects_predicted")
        summary["pq"] = quality_of(total("objects_jaccard"), both)
        for name in names:
            if name.startswith(COUNT_PREFIX + "objects_matched@"):
                threshold = name.split("@")[1]
                matched = int(summary[name])
                of_objects = ObjectScores(
                    matched,
                    int(total("objects_true")) - matched,
                    int(total("objects_predicted")) - matched,
                )
                for score in ("precision", "recall", "f1", "average_precision"):
                    summary[f"{score}@{threshold}"] = getattr(of_objects, score)
    return summary
