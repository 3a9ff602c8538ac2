"""A label image whose ids have classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_unet3p.annotations.annotated_object import OBJECT
from keras_unet3p.postprocessing import connected_regions, object_outlines


class ObjectImage(NamedTuple):
    """The objects of an image as a label image.

    Attributes:
        name: the stem of the image's file.
        file: the name of the image's file.
        ids: (H, W) int32, 0 the background, below it crowds.
        labels: for each id the name of its class; ids that are in no pixel may be among them.

    Example:
        >>> image = ObjectImage("a", "a.png", np.array([[0, 2, -1]]), {2: "cell", -1: "cell"})
        >>> image.numbers(), image.instances().tolist()
        ([2], [[0, 2, 0]])
        >>> image.class_ids({"cell": 1}).tolist()
        [[0, 1, 1]]
    """

    name: str
    file: str
    ids: np.ndarray
    labels: dict[int, str]

    def numbers(self) -> list[int]:
        """The ids that are in a pixel, rising, without crowds."""
        return [number for number in np.unique(self.ids).tolist() if number > 0]

    def instances(self, crowd: int = 0) -> np.ndarray:
        """The ids, crowds with another value.

        Args:
            crowd: of their pixels.
        """
        return np.where(self.ids < 0, np.int32(crowd), self.ids)

    def class_ids(self, classes: dict[str, int]) -> np.ndarray:
        """(H, W) int32: for each pixel the id of its object's class, 0 the background.

        Args:
            classes: the id of each class by its name.
        """
        found, places = np.unique(self.ids, return_inverse=True)
        values = [classes[self.labels[number]] if number else 0 for number in found.tolist()]
        return np.array(values, np.int32)[places].reshape(self.ids.shape)

    def told_labels(self) -> dict[int, str]:
        """The names of the classes, without that of objects that have none."""
        return {number: label for number, label in self.labels.items() if label != OBJECT}

    def outlines(self) -> dict[int, list[list[np.ndarray]]]:
        """As `postprocessing.object_outlines`, for ids of any size, without crowds."""
        found, places = np.unique(self.instances(), return_inverse=True)
        first = int(found[0] != 0)
        dense = (places + first).reshape(self.ids.shape)
        return {int(found[n - first]): rings for n, rings in object_outlines(dense).items()}


def image_of_instances(name: str, file: str, ids: np.ndarray, label: str) -> ObjectImage:
    """Objects of one class, from instance ids (H, W)."""
    numbers = np.unique(ids[ids > 0]).tolist()
    return ObjectImage(name, file, ids, dict.fromkeys(numbers, label))


def image_of_classes(
    name: str, file: str, class_ids: np.ndarray, names: dict[int, str]
) -> ObjectImage:
    """Objects from class ids (H, W): the regions of a class, whose pixels touch at a side.

    Args:
        name, file: of the image.
        class_ids: from 0, the background.
        names: of the classes.
    """
    ids = np.zeros(class_ids.shape, np.int32)
    labels: dict[int, str] = {}
    for value in np.unique(class_ids[class_ids > 0]).tolist():
        regions, count = connected_regions(class_ids == value)
        ids += np.where(regions > 0, regions + np.int32(len(labels)), 0).astype(np.int32)
        labels |= dict.fromkeys(range(len(labels) + 1, len(labels) + count + 1), names[value])
    return ObjectImage(name, file, ids, labels)
