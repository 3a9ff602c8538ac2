"""A training on opened images: what it feeds, builds and shows."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np
import tensorflow as tf

from keras_unet3p import compat, data, models
from keras_unet3p.config import TrainingConfig
from keras_unet3p.layers.intensity_normalization import expect_stretched
from keras_unet3p.workflow.networks import build_model
from keras_unet3p.workflow.starting_point import StartingPoint

_SMALLEST_EPOCH = 16
_OVERLAYS = 3


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """The network and the data of a training run, made of its configuration and its images.

    Args:
        config: the choices of the run.
        training: the images to train on.
        validation: the held-out images.
        start: where the weights come from; None for new ones.

    Example:
        >>> import numpy as np
        >>> image, mask = np.zeros((64, 64), "uint8"), np.eye(64, dtype="uint8")
        >>> opened = data.open_images([image, image + 9], [mask, mask], mask_kind="binary")
        >>> config = TrainingConfig(architecture="unet", filters=2, depth=1, patch_size=32)
        >>> job = TrainingJob(config, opened, opened)
        >>> job.steps_per_epoch, job.border_weights
        (16, None)
        >>> next(iter(job.training_data(0)))[0].shape
        TensorShape([4, 32, 32, 1])
    """

    config: TrainingConfig
    training: data.LabeledImages
    validation: data.LabeledImages
    start: StartingPoint | None = None

    @functools.cached_property
    def steps_per_epoch(self) -> int:
        """Steps between two validations: as many as cover the training images, if not chosen."""
        config = self.config
        if config.steps_per_epoch:
            return config.steps_per_epoch
        pixels = sum(height * width for height, width in self.training.shapes)
        return max(_SMALLEST_EPOCH, math.ceil(pixels / (config.patch_size**2 * config.batch_size)))

    @property
    def learns_distance(self) -> bool:
        """Whether the network learns `targets.instance_maps`."""
        return self.config.learns_distance(self.training.mask_kind)

    @property
    def _instances(self) -> str:
        return "distance" if self.learns_distance else "gaps"

    @functools.cached_property
    def border_weights(self) -> dict[str, Any] | None:
        """Options of the weights between touching objects; None where there are none."""
        wanted = self.config.border_weights
        if wanted == "auto":
            wanted = self.training.mask_kind == "instances" and not self.learns_distance
        return {"class_balance": data.class_balance(self.training)} if wanted else None

    def training_data(
        self, steps_done: int, input_context: tf.distribute.InputContext | None = None
    ) -> tf.data.Dataset:
        """Endless batches of (image, mask[, weight map]), from the step after `steps_done` on.

        With `input_context`, of one of several machines: its share of them.
        """
        config = self.config
        return data.training_pipeline(
            self.training,
            patch_size=config.patch_size,
            batch_size=config.batch_size,
            steps=None,
            seed=config.seed,
            first_sample=steps_done * config.batch_size,
            augmentation=data.Augmentation() if config.augment else data.Augmentation.none(),
            border_weights=self.border_weights,
            separation=config.separation,
            instances=self._instances,
            input_context=input_context,
        )

    def validation_data(
        self, model: Any, input_context: tf.distribute.InputContext | None = None
    ) -> tf.data.Dataset:
        """The tiles of the held-out images in batches of (image, mask[, weight map])."""
        config = self.config
        return data.validation_pipeline(
            self.validation,
            patch_size=config.patch_size,
            batch_size=config.batch_size,
            scored_size=config.patch_size - 2 * model.margin,
            separation=config.separation,
            instances=self._instances,
            border_weights=self.border_weights,
            unit_mean=True,
            input_context=input_context,
        )

    def prepare(self, model: Any) -> None:
        """Tell a network that the pipelines have stretched its images, if it has them stretched."""
        expect_stretched(model)

    def build(self) -> models.SegmentationModel:
        """The compiled network."""
        with compat.global_policy(self.config.mixed_precision or "float32"):
            return build_model(
                self.config,
                self.training.num_channels,
                self.training.num_classes,
                self.training.normalization(),
                None if self.training.ignore is None else data.IGNORED,
                self.start,
                learns_distance=self.learns_distance,
            )

    def overlay_samples(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The first tile of a few validation images: (image, mask) of the patches' size."""
        last = len(self.validation) - 1
        samples = []
        for index in np.unique(np.linspace(0, last, _OVERLAYS).astype(int)).tolist():
            tiles = data.validation_pipeline(
                self.validation.subset([index]), patch_size=self.config.patch_size, batch_size=1
            )
            image, mask = next(iter(tiles))[:2]
            samples.append((image[0].numpy(), mask[0].numpy()))
        return samples
