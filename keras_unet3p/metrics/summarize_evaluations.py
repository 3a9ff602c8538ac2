"""The measures of a whole set of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.metrics.evaluate_labels import COUNT_PREFIX, pixel_scores
from keras_unet3p.metrics.object_scores import ObjectScores


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
