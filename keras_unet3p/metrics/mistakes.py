"""What is wrong with each object: missed, invented, cut into pieces or joined with another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_unet3p.metrics._labels import checked_labels, overlaps


class ObjectErrors(NamedTuple):
    """Labels of the objects that are not matched, by what became of them.

    Attributes:
        missed, split, merged: of the truth.
        extra, splitting, merging: of the prediction.

    Example:
        >>> errors = object_errors(np.array([[1, 1, 0, 2, 2]]), np.array([[7, 7, 0, 0, 0]]))
        >>> errors.missed.tolist(), errors.counts()
        ([2], {'missed': 1, 'extra': 0, 'split': 0, 'merged': 0})
    """

    missed: np.ndarray
    split: np.ndarray
    merged: np.ndarray
    extra: np.ndarray
    splitting: np.ndarray
    merging: np.ndarray

    def counts(self) -> dict[str, int]:
        """How many objects each kind has; the pieces of split objects and the joined ones, which
        are of the prediction, are not counted again."""
        return {
            "missed": len(self.missed),
            "extra": len(self.extra),
            "split": len(self.split),
            "merged": len(self.merged),
        }


def object_errors(truth, prediction) -> ObjectErrors:
    """Sort the objects that have no partner by what went wrong.

    Partners have an IoU above 1/2. An object of the truth without one is *merged* if more than half
    of it lies in a predicted object that holds more than half of another one too; else *split* if
    two predicted objects or more lie in it with more than half of themselves; else *missed*. A
    predicted object without a partner is *merging* if it holds more than half of two true ones,
    else *splitting* if more than half of it lies in a split one, else *extra*.

    Args:
        truth, prediction: (H, W) instance ids, 0 is background.

    Raises:
        ValueError: for shapes that differ or values that are not labels.

    Example:
        >>> truth = np.array([[1, 1, 1, 2, 2, 2, 0, 3, 3, 3, 3]])
        >>> prediction = np.array([[4, 4, 4, 4, 4, 4, 0, 5, 5, 6, 6]])
        >>> errors = object_errors(truth, prediction)
        >>> errors.merged.tolist(), errors.merging.tolist(), errors.split.tolist()
        ([1, 2], [4], [3])
    """
    truth, prediction = checked_labels(truth, prediction)
    table = overlaps(truth, prediction)
    of_truth, of_prediction = table.pairs.T
    matched = table.jaccard > 0.5
    held = 2 * table.shared > table.truth_sizes[of_truth]
    inside = 2 * table.shared > table.prediction_sizes[of_prediction]
    true_labels, predicted_labels = (np.unique(ids[ids > 0]) for ids in (truth, prediction))
    true_number, predicted_number = len(true_labels), len(predicted_labels)

    def marked(numbers: np.ndarray, size: int) -> np.ndarray:
        mask = np.zeros(size, bool)
        mask[numbers] = True
        return mask

    true_open = ~marked(of_truth[matched], true_number)
    predicted_open = ~marked(of_prediction[matched], predicted_number)
    joins = np.bincount(of_prediction[held], minlength=predicted_number) >= 2
    merged = true_open & marked(of_truth[held & joins[of_prediction]], true_number)
    pieces = np.bincount(of_truth[inside], minlength=true_number)
    split = true_open & ~merged & (pieces >= 2)
    merging = predicted_open & joins
    in_split = marked(of_prediction[inside & split[of_truth]], predicted_number)
    splitting = predicted_open & ~merging & in_split
    return ObjectErrors(
        missed=true_labels[true_open & ~merged & ~split],
        split=true_labels[split],
        merged=true_labels[merged],
        extra=predicted_labels[predicted_open & ~merging & ~splitting],
        splitting=predicted_labels[splitting],
        merging=predicted_labels[merging],
    )
