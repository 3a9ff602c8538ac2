"""What a model card says of the values that an exported model takes."""

from __future__ import annotations

from keras_unet3p.artifacts.section import Section


class CardNormalization(Section):
    """How pixels become the values that the network takes, inside the exported graph.

    Example:
        >>> CardNormalization(value_scale="raw", input_dtype="float32").is_raw
        True
    """

    value_scale: str
    """The rule for stored values; see `Normalization`."""
    input_dtype: str | None = None
    """Type of the pixels that the signatures for images take: uint8 or float32."""
    percentiles: tuple[float, float] | None = None
    """Those of each whole image by which its unit values are stretched to 0 and 1, in the image
    signatures. The signature for tiles takes stretched values. None: they are not stretched."""
    mean: list[float] | None = None
    """What the network subtracts from unit values, one number for each channel."""
    std: list[float] | None = None
    """What it then divides them by."""

    @property
    def is_raw(self) -> bool:
        """Whether the model takes values as they are stored, not unit values."""
        return self.value_scale == "raw"
