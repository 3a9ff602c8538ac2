"""What a training run was asked to do, kept beside its results."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from keras_unet3p.files import printable

ARCHITECTURES = ("unet3plus", "unet", "unet_plus_plus", "attention_unet", "fcn")
LOSSES = ("hybrid", "weighted_cross_entropy", "focal", "dice", "iou", "ms_ssim")
# What a run's configuration is read for, by section.
_NEEDED = {
    "training": ("separation",),
    "data": ("mask_kind", "classes", "stored_types", "normalization"),
}


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The choices of a training run; `unet3p train` has an option for each.

    Attributes:
        architecture: one of `ARCHITECTURES`.
        filters: channels of the first encoder stage; they double from stage to stage. 64 is the
            papers' network.
        depth: poolings, so that the coarsest map is 2^depth times smaller; 4 is the papers'. FCN
            has its encoder's.
        padding: `"same"`, or `"valid"` for the unpadded convolutions of the U-Net paper
            (architecture `unet` only).
        batch_norm: batch normalisation in the U-Nets (UNet 3+ always has it).
        deep_supervision: side outputs with a loss of their own (`unet3plus`, `unet_plus_plus`).
        classification_guided: UNet 3+'s module that learns whether an image holds anything.
        encoder: name of a `keras.applications` encoder, or `"plain"`.
        encoder_weights: `"imagenet"`, the path of a weight file, or None.
        loss: one of `LOSSES`.
        border_weights: weight the pixels between touching objects as the U-Net paper does;
            `"auto"` does so when the masks tell instances apart.
        separation: pixels that each of two touching instances gives to the background between them,
            so that the network learns to keep them apart (`data.separate_instances`).
        patch_size: side of the training patches, pixels.
        batch_size: patches a step, over all devices together.
        epochs: of the whole run.
        steps_per_epoch: steps between two validations; None lets an epoch see about as many pixels
            as the training images have, and at least 16 steps.
        learning_rate: Adam's at the start; it falls to a hundredth along a cosine.
        patience: epochs without a better validation Dice before the run stops; None never stops.
        validation: share of the images held out for validation.
        contiguous_validation: hold out neighbouring images instead of scattered ones; right for the
            sections of a block and the frames of a film, which their neighbours give away.
        augment: elastic deformation, rotation, scale, flips and grey-value changes.
        seed: of everything random.
        strategy: `"auto"`, `"mirrored"` or `"default"`.
        mixed_precision: `"mixed_float16"`, `"mixed_bfloat16"` or None.
    """

    architecture: str = "unet3plus"
    filters: int = 64
    depth: int = 4
    padding: str = "same"
    batch_norm: bool = True
    deep_supervision: bool = True
    classification_guided: bool = False
    encoder: str = "plain"
    encoder_weights: str | None = None
    loss: str = "hybrid"
    border_weights: str | bool = "auto"
    separation: int = 1
    patch_size: int = 256
    batch_size: int = 4
    epochs: int = 50
    steps_per_epoch: int | None = None
    learning_rate: float = 1e-3
    patience: int | None = None
    validation: float = 0.2
    contiguous_validation: bool = False
    augment: bool = True
    seed: int = 0
    strategy: str = "auto"
    mixed_precision: str | None = None

    def __post_init__(self):
        _one_of("architecture", self.architecture, ARCHITECTURES)
        _one_of("loss", self.loss, LOSSES)
        _one_of("padding", self.padding, ("same", "valid"))
        _one_of("border_weights", self.border_weights, ("auto", True, False))
        _one_of("mixed_precision", self.mixed_precision, ("mixed_float16", "mixed_bfloat16", None))
        if self.padding == "valid" and self.architecture != "unet":
            raise ValueError(
                f"padding 'valid' goes with architecture 'unet' only, found {self.architecture!r}"
            )
        for name in ("filters", "depth", "patch_size", "batch_size", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if not 0 < self.validation < 1:
            raise ValueError(f"validation must be a share between 0 and 1, found {self.validation}")

    def to_dict(self) -> dict[str, Any]:
        """As a dictionary that JSON takes."""
        return dataclasses.asdict(self)


def _one_of(name: str, value: Any, accepted: tuple) -> None:
    if value not in accepted:
        raise ValueError(f"{name} must be one of {list(accepted)}, found {value!r}")


def read_run_config(run: Path) -> dict[str, Any]:
    """The `config.json` of a run folder.

    Raises:
        ValueError: the folder holds none, or it is damaged.
    """
    path = Path(run) / "config.json"
    if not path.is_file():
        raise ValueError(
            f"{printable(run)} is no run folder: it has no config.json; `train` makes one"
        )
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:  # no JSON, or no text at all
        raise _damaged(path, str(error)) from None
    for section, names in _NEEDED.items():
        found = config.get(section) if isinstance(config, dict) else None
        missing = [name for name in names if name not in found] if isinstance(found, dict) else "?"
        if missing:
            raise _damaged(path, f"it lacks {section!r} with {', '.join(map(repr, names))}")
    return config


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(
        f"{printable(path)} is damaged ({what}); restore it from a copy, or remove it and give "
        "`train` the run's own options again, which it then writes anew"
    )
