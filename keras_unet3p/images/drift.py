"""Whether images and their masks are still what the model was trained on, many taken together."""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p.errors import InputError, printable
from keras_unet3p.images.image_values import ImageValues, ValuesWarning, measure_values
from keras_unet3p.images.stored_values import Span, StoredValues
from keras_unet3p.images.unit_values import divisor

_WINDOW = 200
_FEWEST = 5  # images of the training, below which their spans tell little
# Published sets, held-out images against the others': within a tenth of their range.
_MARGIN = 0.1
_UNLIKELY = 1e-4
_QUANTITIES = {"low": "darkest values", "median": "medians", "high": "brightest values"}


class DriftWarning(ValuesWarning):
    """Images that no longer are what the model was trained on.

    Example:
        >>> issubclass(DriftWarning, UserWarning)
        True
    """


@dataclasses.dataclass(frozen=True)
class MaskSpans:
    """What the masks of a training set are like, each told by one figure per class.

    Attributes:
        images: how many there are.
        shares: for each class the smallest and the largest share of an image's labelled pixels, 0
            to 1; of background and foreground for a network of one class.
        with_objects: how many of the images hold objects.
        object_area: smallest and largest of the images' median areas of an object, pixels; None
            where the masks number no objects.

    Example:
        >>> MaskSpans(20, ((0.6, 0.9), (0.1, 0.4)), 0, None).to_dict()["shares"]
        [[0.6, 0.9], [0.1, 0.4]]
    """

    images: int
    shares: tuple[Span, ...]
    with_objects: int
    object_area: Span | None

    def to_dict(self) -> dict[str, Any]:
        area = self.object_area
        return {
            "images": self.images,
            "shares": [list(span) for span in self.shares],
            "with_objects": self.with_objects,
            "object_area": None if area is None else list(area),
        }

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> MaskSpans:
        area = config.get("object_area")
        return cls(
            int(config["images"]),
            tuple((float(low), float(high)) for low, high in config["shares"]),
            int(config.get("with_objects", 0)),
            None if area is None else (float(area[0]), float(area[1])),
        )


@dataclasses.dataclass(frozen=True)
class Drift:
    """A quantity in which too many of the last images lie outside the training's.

    Attributes:
        quantity: its name.
        outside: how many of the images do.
        images: how many were looked at last.
        found: from the smallest to the largest of theirs.
        trained: from the smallest to the largest of the training's.
        trained_images: how many those were.

    Example:
        >>> print(Drift("medians", 9, 10, (3.0, 20.0), (50.0, 80.0), 40))
        medians of 9 of the last 10 images outside the training's: 3 to 20, in 40 images 50 to 80
    """

    quantity: str
    outside: int
    images: int
    found: Span
    trained: Span
    trained_images: int

    def __str__(self) -> str:
        return (
            f"{self.quantity} of {self.outside} of the last {self.images} images outside the "
            f"training's: {self.found[0]:.3g} to {self.found[1]:.3g}, in {self.trained_images} "
            f"images {self.trained[0]:.3g} to {self.trained[1]:.3g}"
        )


class DriftMonitor:
    """Compares images and their masks with those of the training. Safe for threads.

    Each image gives a few figures: darkest, median and brightest value (0.1, 50 and 99.9
    percentiles), the share of each class in its mask, and the median area of its objects. Of the
    last images it counts how many figures lie outside the training's smallest and largest, by more
    than a tenth of their distance. If nothing had changed, the count of m images against n of the
    training would be at most beta-binomial (m, 2, n - 1), whatever the figures' distribution: two
    of the n + 1 gaps between the training's figures lie outside. What has a probability below
    1e-4 is a drift.

    Quantities of fewer than 5 training images are not watched.

    Args:
        stored_values: of the training images (`training.stored_values` of the model card).
        mask_spans: of their masks (`training.mask_spans`).
        value_scale: the rule of the model's values; see `Normalization`.
        window: number of the last images that are counted; the last tenth of them is also
            counted for itself, so that a sudden change is seen soon.
        classes: names of the classes, background first.

    Raises:
        ValueError: `window` is below 1.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> images = rng.integers(50, 90, (20, 16, 16)).astype(np.uint8)
        >>> trained = StoredValues.of([ku.images.measure_values(each, "") for each in images])
        >>> monitor = DriftMonitor(trained)
        >>> [monitor.see(each) for each in images[:3]]
        [[], [], []]
        >>> [drift.quantity for each in images for drift in monitor.see(each // 4)]
        ['darkest values', 'medians', 'brightest values']
    """

    def __init__(
        self,
        stored_values: Sequence[StoredValues] = (),
        mask_spans: MaskSpans | None = None,
        *,
        value_scale: str = "unit",
        window: int = _WINDOW,
        classes: Sequence[str] | None = None,
    ) -> None:
        if window < 1:
            raise InputError(f"window must be at least 1, found {window}")
        self._stored, self._masks, self._value_scale = tuple(stored_values), mask_spans, value_scale
        self._classes = classes
        self._window = window
        self._lock = threading.Lock()
        self._seen: dict[str, collections.deque[float]] = {}
        self._drifts: dict[str, Drift] = {}
        self._spans = self._trained_spans()

    @classmethod
    def of_card(cls, card: str | os.PathLike[str] | Mapping[str, Any], **options) -> DriftMonitor:
        """By what a model card says of the training images.

        Args:
            card: the file `model_card.json`, a version folder of an exported model, or the content.
            options: `window`.

        Raises:
            ValueError: the file cannot be read.
        """
        content = card if isinstance(card, Mapping) else _read(Path(card))
        training = content.get("training") or {}
        masks = training.get("mask_spans")
        if content.get("multi_label") and training.get("mask_kind") != "instances":
            masks = None  # the pixels of classes that overlap have no single id
        return cls(
            tuple(StoredValues.from_dict(each) for each in training.get("stored_values") or ()),
            None if masks is None else MaskSpans.from_dict(masks),
            value_scale=(content.get("normalization") or {}).get("value_scale", "unit"),
            classes=content.get("classes"),
            **options,
        )

    @property
    def quantities(self) -> list[str]:
        """What is watched; nothing where the card says nothing of the training images."""
        return list(self._spans)

    @property
    def drifts(self) -> list[Drift]:
        """What is amiss with the last images."""
        with self._lock:
            return list(self._drifts.values())

    def see(
        self, image: np.ndarray | None, mask: np.ndarray | None = None, *, instances: bool = False
    ) -> list[Drift]:
        """Count an image and its mask in.

        Args:
            image: values as they are stored, (H, W) or (H, W, C); None if unknown.
            mask: class ids (H, W), or instance ids.
            instances: whether they are instance ids.

        Returns:
            What is amiss since this image, and was not before.

        Raises:
            ValueError: the image holds NaN or infinite values.
        """
        figures: dict[str, float] = {}
        if image is not None and self._stored:
            figures.update(self._of_image(measure_values(image, "image")))
        if mask is not None and self._masks is not None:
            figures.update(self._of_mask(mask, instances))
        with self._lock:
            new = []
            for name, figure in figures.items():
                if name not in self._spans:
                    continue
                seen = self._seen.setdefault(name, collections.deque(maxlen=self._window))
                seen.append(figure)
                drift = self._compare(name, seen)
                if drift is None:
                    self._drifts.pop(name, None)
                    continue
                if name not in self._drifts:
                    new.append(drift)
                self._drifts[name] = drift
            return new

    def _trained_spans(self) -> dict[str, tuple[Span, int]]:
        spans: dict[str, tuple[Span, int]] = {}
        images = sum(each.images for each in self._stored)
        for name, text in _QUANTITIES.items():
            ends = [
                end / divisor(np.dtype(each.dtype), self._value_scale)
                for each in self._stored
                for end in getattr(each, name)
            ]
            if ends:
                spans[text] = (min(ends), max(ends)), images
        masks = self._masks
        if masks is not None:
            names = self._class_names(len(masks.shares))
            for name, span in list(zip(names, masks.shares, strict=True))[1:]:
                spans[f"share of {name}"] = span, masks.images
            if masks.object_area is not None:
                spans["object areas"] = masks.object_area, masks.with_objects
        return {name: found for name, found in spans.items() if found[1] >= _FEWEST}

    def _class_names(self, count: int) -> Sequence[str]:
        if self._classes is not None and len(self._classes) == count:
            return self._classes
        return ["background", "foreground"] if count == 2 else [f"class {k}" for k in range(count)]

    def _of_image(self, values: ImageValues) -> dict[str, float]:
        scale = divisor(values.dtype, self._value_scale)
        return {text: getattr(values, name) / scale for name, text in _QUANTITIES.items()}

    def _of_mask(self, mask: np.ndarray, instances: bool) -> dict[str, float]:
        assert self._masks is not None
        count = len(self._masks.shares)
        pixels = np.bincount(mask.ravel(), minlength=count)
        figures = {}
        if instances:
            areas = pixels[1:][pixels[1:] > 0]
            if areas.size:
                figures["object areas"] = float(np.median(areas))
            pixels = np.array([pixels[0], mask.size - pixels[0]])
        names = self._class_names(count)
        shares = pixels[:count] / max(mask.size, 1)
        return {**figures, **{f"share of {names[k]}": float(shares[k]) for k in range(1, count)}}

    def _compare(self, name: str, seen: Sequence[float]) -> Drift | None:
        (low, high), images = self._spans[name]
        margin = _MARGIN * (high - low)
        # A sudden change shows in the last of them first.
        for last in (list(seen), list(seen)[-max(self._window // 10, 1) :]):
            outside = sum(not low - margin <= figure <= high + margin for figure in last)
            if chance_of_outside(outside, len(last), images) < _UNLIKELY:
                return Drift(name, outside, len(last), (min(last), max(last)), (low, high), images)
        return None


def chance_of_outside(outside: int, seen: int, trained: int) -> float:
    """Probability that so many of `seen` figures, or more, lie outside those of `trained` others.

    All are taken to be drawn from one continuous distribution; any will do, since only the order
    counts. Then the share outside the smallest and the largest is beta (2, trained - 1).

    Args:
        outside: 0 to `seen`.
        seen: number of new figures.
        trained: number of the others, at least 2.

    Example:
        >>> round(chance_of_outside(1, 1, 9), 6)
        0.2
    """
    gamma = math.lgamma

    def beta(a: float, b: float) -> float:
        return gamma(a) + gamma(b) - gamma(a + b)

    def chance(k: int) -> float:
        ways = gamma(seen + 1) - gamma(k + 1) - gamma(seen - k + 1)
        return math.exp(ways + beta(k + 2, seen - k + trained - 1) - beta(2, trained - 1))

    return min(math.fsum(chance(k) for k in range(outside, seen + 1)), 1.0)


def _read(path: Path) -> Mapping[str, Any]:
    card = path / "assets.extra" / "model_card.json" if path.is_dir() else path
    try:
        content = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{printable(card)}: {error}; expected a model card") from None
    if not isinstance(content, Mapping):
        raise InputError(f"{printable(card)}: expected the entries of a model card")
    return content
