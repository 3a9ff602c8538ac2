"""The card that goes with every exported model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, PlainSerializer, PlainValidator, model_validator

from keras_unet3p.artifacts.card_normalization import CardNormalization
from keras_unet3p.artifacts.card_training import CardTraining
from keras_unet3p.artifacts.json_artifact import JsonArtifact
from keras_unet3p.artifacts.section import Text
from keras_unet3p.errors import InputError
from keras_unet3p.geometry import TileGeometry

CARD_FILE = "assets.extra/model_card.json"
"""Where the card of a version folder lies in it."""
GRAPH_FILE = "saved_model.pb"
"""The graph of a version folder."""
# What follows from the geometry, for readers in other languages.
_OF_GEOMETRY = ("tile", "halo", "core")
# What the card of a model that segments whole images has beside that of a network for tiles.
_OF_IMAGES = ("threshold", "normalization")


def _geometry(value: Any) -> TileGeometry:
    if isinstance(value, TileGeometry):
        return value
    try:
        return TileGeometry.from_dict(value)
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{type(error).__name__}: {error}") from None


class ModelCard(JsonArtifact):
    """What a client must know about an exported model.

    The export of a network for tiles (ONNX, OpenVINO, LiteRT) has no entries about whole images:
    `threshold` to `test_time_augmentation` keep their defaults there.

    Example:
        >>> from keras_unet3p.geometry import TileGeometry
        >>> card = ModelCard(
        ...     num_classes=1,
        ...     input_channels=3,
        ...     geometry=TileGeometry(tile=(64, 64), halo=8),
        ...     training={"mask_kind": "binary"},
        ...     sha256={},
        ... )
        >>> card.training.mask_kind, card.to_dict()["core"]
        ('binary', [48, 48])
    """

    WAY_OUT: ClassVar[str] = "export the model again, or copy the folder anew"

    name: Text = "model"
    """The network's name."""
    classes: list[Text] | None = None
    """A name for each class; of a model with one output channel the background's first."""
    num_classes: int | None = None
    """Channels of the network's output."""
    input_channels: int
    """Channels of an image."""
    geometry: Annotated[
        TileGeometry, PlainValidator(_geometry), PlainSerializer(TileGeometry.to_dict)
    ]
    """How images are cut into tiles."""
    threshold: float | None = None
    """From this probability on a pixel is of a class; None where the likeliest class is taken."""
    multi_label: bool = False
    """Whether the channels may overlap; each is decided by the threshold."""
    normalization: CardNormalization = CardNormalization(value_scale="unit")
    """The values that the model takes."""
    max_pixels: int | None = None
    """An image of more pixels is refused."""
    max_batch_pixels: int | None = None
    """So are images of one request that have more pixels together."""
    test_time_augmentation: int = 1
    """Mirrored and turned versions of a tile that are averaged."""
    parameters: int | None = None
    """Number of trainable parameters."""
    training: CardTraining
    """What is known of the training."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of the packages that exported the model."""
    sha256: dict[str, str]
    """Digests of the exported files by name."""

    @model_validator(mode="before")
    @classmethod
    def _without_what_follows(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if name not in _OF_GEOMETRY}

    def to_dict(self) -> dict[str, Any]:
        """The file's content as values that JSON takes."""
        geometry = self.geometry
        follows = {"tile": list(geometry.tile), "halo": geometry.halo, "core": list(geometry.core)}
        entries = super().to_dict()
        names = list(entries)
        place = names.index("geometry") + 1
        return {
            **{name: entries[name] for name in names[:place]},
            **follows,
            **{name: entries[name] for name in names[place:]},
        }

    def rule(self) -> dict[str, Any]:
        """What was chosen to follow the network, with the threshold that is in the graph.

        `MaskRule.from_dict` or `InstanceRule.from_dict` of `postprocessing` reads it.
        """
        threshold = {} if self.threshold is None else {"threshold": self.threshold}
        return {**(self.training.postprocessing or {}), **threshold}

    @classmethod
    def of_version(cls, version: Path) -> ModelCard | None:
        """The card of a version folder; None where it has none (the export of another program).

        Raises:
            ValueError: the card is damaged, of a newer format, or that of a network for tiles.
        """
        path = version / CARD_FILE
        if not path.is_file():
            return None
        card = cls.read(path)
        missing = [repr(name) for name in _OF_IMAGES if name not in card.model_fields_set]
        if GRAPH_FILE not in card.sha256:
            missing.append(repr(f"sha256.{GRAPH_FILE}"))
        if missing:
            raise cls.damaged(path, f"it lacks {', '.join(missing)}")
        return card
