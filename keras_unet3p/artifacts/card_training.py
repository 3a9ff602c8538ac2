"""What a model card says of the training."""

from __future__ import annotations

from typing import Any

from keras_unet3p.artifacts.section import Section


class CardTraining(Section):
    """The training of an exported model, as far as it is known; other figures are kept.

    Example:
        >>> training = CardTraining(mask_kind="instances", separation=2, val_dice=0.9)
        >>> training.separation, training.to_dict()["val_dice"]
        (2, 0.9)
    """

    mask_kind: str | None = None
    """Of the masks: binary, classes or instances."""
    class_values: list[int] | None = None
    """The mask values that stood for the classes; None where they were the class ids."""
    ignore: int | None = None
    """The mask value of unlabelled pixels; None where all are labelled."""
    reading: dict[str, Any] | None = None
    """What of the files was read, where not as by default; options of `config.ReadingChoices`."""
    separation: int | None = None
    """Background drawn between touching instances, pixels of each."""
    postprocessing: dict[str, Any] | None = None
    """What was chosen to follow the network; `postprocessing.MaskRule.from_dict` reads it. Of it,
    the served graph applies the threshold alone: small objects and holes are left to the reader."""
    stored_values: list[dict[str, Any]] | None = None
    """What the training images were like; `StoredValues.from_dict` reads each."""
    mask_spans: dict[str, Any] | None = None
    """What the training masks were like; `MaskSpans.from_dict` reads it."""
