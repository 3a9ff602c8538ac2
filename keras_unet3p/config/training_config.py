"""The choices of a training run."""

from __future__ import annotations

from typing import Annotated, Any

import pydantic
from pydantic import BeforeValidator, Field

from keras_unet3p.config.callback_choice import CallbackChoice, callback_choices
from keras_unet3p.config.choices import (
    ARCHITECTURES,
    ENCODERS,
    INSTANCES,
    MEASURES,
    NORMALIZATIONS,
    PADDINGS,
    POLICIES,
    STRATEGIES,
)
from keras_unet3p.config.loss_choice import LossSum
from keras_unet3p.config.validation import Checked, OneOf
from keras_unet3p.errors import InputError

NETWORK_OPTIONS = (
    "filters",
    "depth",
    "padding",
    "batch_norm",
    "batch_norm_synchronized",
    "deep_supervision",
    "classification_guided",
    "encoder",
    "encoder_weights",
)
"""The choices that an architecture's builder takes; those that were not made are its defaults."""

_Count = Annotated[int, Field(ge=1)]
_Callbacks = Annotated[list[CallbackChoice], BeforeValidator(callback_choices)]
_OptionalCount = Annotated[int | None, Field(ge=1)]


class TrainingConfig(Checked):
    """The choices of a training run, checked; `unet3p train` has an option for each.

    None of a network option is no choice: the architecture keeps what it is by itself.

    Raises:
        InputError: an option is unknown, not accepted, or one that the architecture has not or
            that has no effect. It is a ValueError.

    Example:
        >>> config = TrainingConfig(architecture="unet", filters=16, epochs=10)
        >>> config.network_options()
        {'filters': 16}
        >>> TrainingConfig(architecture="fcn", padding="valid")
        Traceback (most recent call last):
            ...
        keras_unet3p.errors.InputError: padding: architecture 'fcn' has no such option; unet has
    """

    architecture: Annotated[str, BeforeValidator(OneOf(tuple(ARCHITECTURES)))] = "unet3plus"
    """The network."""
    filters: _OptionalCount = None
    """Channels of the first encoder stage; they double from stage to stage."""
    depth: _OptionalCount = None
    """Number of poolings: the coarsest map is 2^depth times smaller."""
    padding: Annotated[str | None, BeforeValidator(OneOf(PADDINGS))] = None
    """Of the convolutions; valid is the U-Net paper's."""
    batch_norm: bool | None = None
    """Batch normalisation in the U-Nets; UNet 3+ always has it."""
    batch_norm_synchronized: bool | None = None
    """Its statistics from the batches of all devices together, for few patches on each."""
    deep_supervision: bool | None = None
    """Side outputs with a loss of their own; on where the architecture has them."""
    classification_guided: bool | None = None
    """UNet 3+'s module that learns whether an image holds anything."""
    encoder: Annotated[str | None, BeforeValidator(OneOf(ENCODERS))] = None
    """A network of keras.applications as encoder, or the papers' plain one."""
    encoder_weights: Annotated[str | None, Field(min_length=1)] = None
    """imagenet, or the path of a weight file of the encoder."""
    normalization: Annotated[str, BeforeValidator(OneOf(NORMALIZATIONS))] = "auto"
    """Of intensities: by the whole set, or of each image by its own percentiles; auto where the
    images differ much in contrast."""
    init: Annotated[str | None, Field(min_length=1)] = None
    """Run folder, .keras file or preset (nuclei) whose weights and architecture are taken over."""
    freeze: Annotated[str | None, Field(pattern=r"^[^,\s]+(,[^,\s]+)*$")] = None
    """What training does not change: encoder, none, or beginnings of layer names (e1_,e2_)."""
    loss: Annotated[str, BeforeValidator(LossSum())] = "auto"
    """What is minimised, or a sum, 0.5*dice+focal say; auto is cross-entropy for the distance map
    of instances, else hybrid."""
    instances: Annotated[str, BeforeValidator(OneOf(("auto", *INSTANCES)))] = "auto"
    """How touching instances are told apart: by a learnt map of the distance to the outline, or by
    gaps of background between them; auto is distance for masks of instances."""
    border_weights: Annotated[str | bool, BeforeValidator(OneOf(("auto", True, False)))] = "auto"
    """The U-Net paper's weights between touching objects; auto for instances told apart by gaps."""
    separation: Annotated[int, Field(ge=0)] = 1
    """Background drawn between touching instances where gaps tell them apart, pixels of each."""
    patch_size: _Count = 256
    """Side of the training patches, pixels."""
    batch_size: _Count = 4
    """Patches in a step, over all devices together."""
    epochs: _Count = 50
    """Of the whole run; a finished run that is given more goes on."""
    hours: Annotated[float | None, Field(gt=0)] = None
    """Time of the whole training, in place of epochs; a finished run that is given more goes on."""
    steps_per_epoch: _OptionalCount = None
    """Steps between two validations; by default as many as cover the training images."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """AdamW's after the warm-up; it falls to zero along a cosine."""
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    """Steps in which the learning rate rises; 5 % of the run if that is less."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """Of the kernels, per step and unit of learning rate."""
    weight_average: Annotated[float, Field(ge=0, lt=1)] = 0.998
    """Momentum of the moving average of the weights that is validated and kept; 0 for none."""
    patience: _OptionalCount = None
    """Epochs without a better validation Dice before the run stops; by default it never does."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the images that is held out for validation."""
    contiguous_validation: bool = False
    """Hold out neighbouring images: for sections of a block and frames of a film."""
    folds: Annotated[int | None, Field(ge=2)] = None
    """Cross-validation: parts of the images each of which is held out by a network of its own."""
    fold: Annotated[int | None, Field(ge=1)] = None
    """The one part that this run holds out, from 1 on; by default all are trained in turn."""
    tuning: bool = True
    """Choose threshold, smallest object and largest hole on the validation images."""
    test_time_augmentation: Annotated[str | bool, BeforeValidator(OneOf(("auto", True, False)))] = (
        "auto"
    )
    """Whether masks are made of the mean over 8 mirrored and turned versions of a tile, in 8 times
    the time; auto tries it on the validation images, and takes it where it gains a lot."""
    measure: Annotated[str, BeforeValidator(OneOf(("auto", *MEASURES)))] = "auto"
    """What they are chosen by; auto is AP for instances, else Dice. Rand: cells in membranes."""
    augment: bool = True
    """Elastic deformation, rotation, scale, flips and grey-value changes."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of everything random."""
    strategy: Annotated[str, BeforeValidator(OneOf(STRATEGIES))] = "auto"
    """How training is spread over devices and machines; several machines are named by TF_CONFIG."""
    mixed_precision: Annotated[str | None, BeforeValidator(OneOf(POLICIES))] = None
    """Policy of the computations; float32 by default."""
    callbacks: _Callbacks = []  # noqa: RUF012
    """Keras callbacks, to track experiments say: import paths, or mappings of name, arguments."""

    @pydantic.model_validator(mode="after")
    def _check_measure(self) -> TrainingConfig:
        if self.measure != "auto" and not self.tuning:
            raise InputError("measure: it has no effect without tuning")
        if self.test_time_augmentation is True and not self.tuning:
            raise InputError("test_time_augmentation: it has no effect without tuning")
        return self

    @pydantic.model_validator(mode="after")
    def _check_fold(self) -> TrainingConfig:
        if self.fold is not None and self.fold > (self.folds or 0):
            raise InputError(f"fold is {self.fold}, of {self.folds or 'no'} folds")
        return self

    @pydantic.model_validator(mode="after")
    def _check_network(self) -> TrainingConfig:
        self._check_beginning()
        if self.init is not None and "architecture" not in self.model_fields_set:
            return self  # that of the network of init, which knows what it has
        architecture = ARCHITECTURES[self.architecture]
        for name in NETWORK_OPTIONS:
            if getattr(self, name) is not None and name not in architecture.options:
                having = [other for other in ARCHITECTURES if name in ARCHITECTURES[other].options]
                raise InputError(
                    f"{name}: architecture {self.architecture!r} has no such option; "
                    f"{', '.join(having)} {'has' if len(having) == 1 else 'have'}"
                )
        if self.normalization == "image" and self.architecture == "fcn":
            raise InputError(
                "normalization: FCN pads images with zeros, which would be stretched with them; "
                "expected 'set', or another architecture"
            )
        if self.normalization == "image" and self.encoder_weights is not None:
            raise InputError(
                "normalization: an encoder with given weights normalises as it did when they were "
                "learnt; expected 'set', or no encoder_weights"
            )
        encoder = self.encoder or architecture.encoder
        has_norm = self.batch_norm or (self.batch_norm is None and self.architecture != "unet")
        if self.batch_norm_synchronized and encoder == "plain" and not has_norm:
            raise InputError("batch_norm_synchronized: it has no effect without batch_norm")
        if encoder == "plain":
            if self.encoder_weights is not None:
                raise InputError(
                    "encoder_weights: the plain encoder has no ready weights; name another encoder"
                )
        elif self.padding == "valid":
            raise InputError(f"padding: encoder {encoder!r} is padded; 'valid' goes with 'plain'")
        elif self.depth not in (None, 4):
            raise InputError(f"depth: encoder {encoder!r} has 4 poolings, found {self.depth}")
        elif self.filters is not None and self.architecture == "fcn":
            raise InputError(
                f"filters: they have no effect on FCN with encoder {encoder!r}; give encoder "
                "'plain', or leave them"
            )
        return self

    def _check_beginning(self) -> None:
        if self.init is not None and self.encoder_weights is not None:
            raise InputError(
                "encoder_weights: init gives the encoder its weights too; expected one of the two"
            )
        if self.frozen_parts() and self.init is None and self.encoder_weights is None:
            raise InputError(
                "freeze: new weights would stay as they were drawn; expected init too, or "
                "encoder_weights"
            )

    def learns_distance(self, mask_kind: str) -> bool:
        """Whether the network learns `targets.instance_maps` of masks of this kind.

        Example:
            >>> config = TrainingConfig()
            >>> config.learns_distance("instances"), config.learns_distance("binary")
            (True, False)
        """
        return mask_kind == "instances" and self.instances != "gaps"

    def frozen_parts(self) -> list[str]:
        """What `freeze` names."""
        return [] if self.freeze in (None, "none") else self.freeze.split(",")

    def to_dict(self) -> dict[str, Any]:
        """As a dictionary that JSON takes."""
        return self.model_dump()

    def network_options(self) -> dict[str, Any]:
        """The arguments of the architecture's builder that this configuration decides."""
        given = {name: getattr(self, name) for name in NETWORK_OPTIONS}
        chosen = {name: value for name, value in given.items() if value is not None}
        return {**ARCHITECTURES[self.architecture].training, **chosen}
