"""What a run's configuration says of its images and masks."""

from __future__ import annotations

from typing import Any

from keras_unet3p.artifacts.section import Section, Text


class DataRecord(Section):
    """The images and masks of a training run: what was chosen, and what was found in them.

    Example:
        >>> record = DataRecord(
        ...     mask_kind="binary", classes=None, stored_types=["uint8"], normalization={}
        ... )
        >>> record.mask_kind, record.class_values
        ('binary', None)
    """

    images: Text | None = None
    """Folder of images, or a multi-page TIFF."""
    masks: Text | None = None
    """Folder of masks."""
    validation_images: Text | None = None
    """Held-out images; None where a share of the images was held out."""
    validation_masks: Text | None = None
    """Their masks."""
    mask_kind: str
    """What the masks hold: binary, classes or instances."""
    classes: list[Text] | None
    """Names of the classes, background first; None where none were given."""
    class_values: list[int] | None = None
    """The mask values that stand for the classes; None where they are the class ids."""
    ignore: int | None = None
    """The mask value of unlabelled pixels; None where all are labelled."""
    reading: dict[str, Any] | None = None
    """What of the files is read, where not as by default; options of `config.ReadingChoices`."""
    num_channels: int | None = None
    """Channels of the images."""
    num_classes: int | None = None
    """Classes of the masks, 1 for foreground against background."""
    stored_types: list[str]
    """The types of the images' pixels in the files."""
    normalization: dict[str, Any]
    """How stored values become the network's input; `Normalization.from_dict` reads it."""
    mask_spans: dict[str, Any] | None = None
    """What the training masks are like; `MaskSpans.from_dict` reads it."""
    training_names: list[Text] | None = None
    """Names of the images that were trained on."""
    validation_names: list[Text] | None = None
    """Names of the images that were held out."""
    content: str | None = None
    """A digest of what the images and masks hold; by it a run knows its data in another place."""
