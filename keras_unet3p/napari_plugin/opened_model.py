"""A model as the plugin uses it: planes in memory at once, larger ones window by window."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_unet3p.artifacts import ModelSource
from keras_unet3p.images import check_values, measure_values
from keras_unet3p.images.unit_values import is_narrow, scaled
from keras_unet3p.postprocessing import (
    InstanceRule,
    connected_regions,
    label_instances,
    to_class_ids,
)
from keras_unet3p.workflow.given_channels import with_channels
from keras_unet3p.workflow.opening import open_model

_LOOKED_AT = 16


class Segmented(NamedTuple):
    """What a model says of a plane.

    Attributes:
        labels: (H, W), ids of instances or of classes.
        classes: the class of each label.
        probability: (H, W), of each pixel's class; of instances, of the foreground. None where the
            model is not asked for it.
    """

    labels: np.ndarray
    classes: dict[int, int]
    probability: np.ndarray | None


class OpenedModel:
    """Whatever `workflow.open_model` opens.

    Args:
        model: see `workflow.open_model`.

    Raises:
        ValueError: it is no model, or damaged.

    Example:
        >>> model = OpenedModel("nuclei")
        >>> found = model.segment(np.zeros((64, 64, 1), np.uint8), "dark")
        >>> model.gives_instances, found.labels.shape, found.classes
        (True, (64, 64), {})
    """

    def __init__(self, model: str | os.PathLike[str]) -> None:
        self.source = ModelSource.of(model)
        self.predictor = open_model(model)

    @property
    def gives_instances(self) -> bool:
        """Whether the model tells touching objects apart."""
        return self.predictor.instances is not None

    def with_channels(self, pixels: np.ndarray, name: str) -> np.ndarray:
        """Pixels (H, W, C) with the model's channels; see `workflow.given_channels`.

        Raises:
            ValueError: the model takes other ones.
        """
        return with_channels(pixels, name, self.predictor.num_channels)

    def check(self, planes: Sequence[Any], name: str, *, accept_values: bool = False) -> None:
        """Compare up to 16 planes, evenly spread, with the images of the training.

        Args:
            planes: (H, W, C) each, as stored; read when they are looked at.
            name: of the layer, for messages.
            accept_values: see `images.check_values`.

        Raises:
            ValueError: they are stored unlike those.
        """
        normalization = self.predictor.normalization
        if not normalization.stored_values:
            return
        chosen = np.unique(np.linspace(0, len(planes) - 1, _LOOKED_AT).astype(int))
        values = [measure_values(planes[at][:, :], name) for at in chosen]
        check_values(values, normalization, accept_values=accept_values)

    def segment(self, image: np.ndarray, name: str, *, separate: bool = False) -> Segmented:
        """Segment a plane in memory.

        Args:
            image: (H, W, C), as stored.
            name: of the layer, for messages.
            separate: number the separate pieces of each class, of a model that gives classes.

        Raises:
            ValueError: its channels do not fit the model.
        """
        predictor, probability = self.predictor, None
        image = self.with_channels(image, name)
        maps = None if predictor.probabilities is None else predictor.probabilities(image)
        if predictor.instances is not None:
            if maps is None or not isinstance(predictor.rule, InstanceRule):
                labels = predictor.instances(image)
            else:
                labels, probability = predictor.rule.instances(maps), maps[..., 0]
            return Segmented(labels, dict.fromkeys(range(1, int(labels.max()) + 1), 1), probability)
        if maps is None or isinstance(predictor.rule, InstanceRule):
            labels = predictor.labels(image)
        else:
            labels = predictor.rule.cleaned(to_class_ids(maps, predictor.rule.threshold))
            probability = maps[..., 0] if maps.shape[-1] == 1 else maps.max(axis=-1)
        present = [int(label) for label in np.unique(labels) if label]
        if not separate:
            return Segmented(labels, dict(zip(present, present, strict=True)), probability)
        return Segmented(*self._numbered(labels, present), probability)

    def _numbered(self, mask: np.ndarray, present: list[int]) -> tuple[np.ndarray, dict[int, int]]:
        ids, classes = np.zeros(mask.shape, np.int32), {}
        for label in present:
            if self.predictor.mask_kind == "instances":  # drawn with gaps, which are closed
                pieces = label_instances(mask == label, self.predictor.separation)
            else:
                pieces, _ = connected_regions(mask == label)
            first = len(classes)
            ids[pieces > 0] = pieces[pieces > 0] + first
            numbers = range(first + 1, first + int(pieces.max(initial=0)) + 1)
            classes |= dict.fromkeys(numbers, label)
        return ids, classes

    def stream(
        self, plane: Any, output: np.ndarray, name: str, report: Callable[[int, int], object]
    ) -> None:
        """Segment a plane window by window; only tiles of it are in memory.

        What follows the network is the threshold, and of instances their rule. A smallest object
        and a largest hole of a mask are not applied. Of an endpoint neither is known: its own
        defaults hold.

        Args:
            plane: (H, W, C), sliced by windows.
            output: (H, W), gets the ids: int32, or of at most 256 classes uint8.
            name: of the layer, for messages.
            report: called with the tiles that are done, and how many there are.

        Raises:
            ValueError: its channels or values do not fit the model.
        """
        kind = "instances" if self.gives_instances else "classes"
        windows = _Windows(plane, self, name)
        if self.source.kind == "endpoint":
            rule = InstanceRule() if self.gives_instances else None
            with self._client() as client:
                client.predict_large(windows, output, kind=kind, rule=rule, progress=report)
            return
        self._streaming.predict(windows, output, kind=kind, progress=report)

    @functools.cached_property
    def _streaming(self) -> Any:
        from keras_unet3p.tiling import StreamingPredictor

        if self.source.version is not None:
            return StreamingPredictor(self.source.version)
        from keras_unet3p.workflow.network_of_source import network_of

        rule = self.predictor.rule
        return StreamingPredictor(
            network_of(self.source),
            threshold=rule.threshold,
            rule=rule if isinstance(rule, InstanceRule) else None,
        )

    def _client(self) -> Any:
        from keras_unet3p.client import EndpointAddress

        return EndpointAddress.of(self.source.name).client()


class _Windows:
    """A plane with the channels and the values that the streaming predictor takes."""

    ndim = 3

    def __init__(self, plane: Any, model: OpenedModel, name: str) -> None:
        self._plane, self._model, self._name = plane, model, name
        scale = model.predictor.normalization.value_scale
        self._scale = None if scale == "raw" or is_narrow(plane.dtype) else scale
        self.dtype = plane.dtype if self._scale is None else np.dtype(np.float32)
        channels = model.predictor.num_channels
        self.shape = (*plane.shape[:2], plane.shape[2] if channels is None else channels)

    def __getitem__(self, window: Any) -> np.ndarray:
        pixels = self._model.with_channels(self._plane[window], self._name)
        return pixels if self._scale is None else scaled(pixels, self._scale)
