"""What files of annotations hold."""

from __future__ import annotations

import dataclasses
from collections import Counter

from keras_unet3p.annotations.annotated_image import AnnotatedImage


@dataclasses.dataclass
class AnnotationSet:
    """The annotated images of a file or of several.

    Attributes:
        images: in the order of the file.
        left_out: how often what was left out, since it is no area (points, lines, boxes) or a
            second opinion.

    Example:
        >>> AnnotationSet([AnnotatedImage("a", "a.png", 2, 3, [])]).labels()
        []
    """

    images: list[AnnotatedImage] = dataclasses.field(default_factory=list)
    left_out: Counter[str] = dataclasses.field(default_factory=Counter)

    def labels(self) -> list[str]:
        """The names of the classes, sorted."""
        return sorted({shape.label for image in self.images for shape in image.objects})

    def add(self, other: AnnotationSet) -> None:
        """Take in what another file holds."""
        self.images += other.images
        self.left_out += other.left_out
