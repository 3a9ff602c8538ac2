"""An image and its objects, as a file of annotations tells them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_unet3p.annotations.annotated_object import AnnotatedObject
from keras_unet3p.annotations.object_image import ObjectImage


class AnnotatedImage(NamedTuple):
    """An image and its objects.

    Attributes:
        name: the stem of its file.
        file: the name of its file.
        height, width: in pixels.
        objects: in the order of the file.

    Example:
        >>> AnnotatedImage("a", "a.png", 2, 3, []).painted().ids.tolist()
        [[0, 0, 0], [0, 0, 0]]
    """

    name: str
    file: str
    height: int
    width: int
    objects: list[AnnotatedObject]

    def painted(self) -> ObjectImage:
        """The objects as a label image. Where they overlap, the smallest is on top.

        Ids are the objects' own numbers where all have one that no other has, else 1, 2, ... in
        the order of the file. A crowd is below all objects and has a negative id.
        """
        ids = np.zeros(self.height * self.width, np.int32)
        found = [shape.pixels(self.height, self.width) for shape in self.objects]
        numbers = _numbers(self.objects)
        crowds = [shape.is_crowd for shape in self.objects]
        for place in sorted(range(len(found)), key=lambda i: (not crowds[i], -len(found[i]))):
            ids[found[place]] = numbers[place]
        labels = dict(zip(numbers, (shape.label for shape in self.objects), strict=True))
        return ObjectImage(self.name, self.file, ids.reshape(self.height, self.width), labels)


def _numbers(objects: list[AnnotatedObject]) -> list[int]:
    own = [shape.number for shape in objects if not shape.is_crowd]
    keeps = len(set(own)) == len(own) and all(number is not None for number in own)
    singles, crowds = (
        iter(own if keeps else range(1, len(own) + 1)),
        iter(range(-1, -1 - len(objects), -1)),
    )
    return [int(next(crowds if shape.is_crowd else singles)) for shape in objects]  # type: ignore[arg-type]
