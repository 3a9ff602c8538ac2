"""What tilers and exporters call a network."""

from __future__ import annotations

from typing import Any, Protocol


class Network(Protocol):
    """A Keras model from images (B, H, W, C) to masks (B, h, w, K); every `keras.Model` is one.

    Tilers and exporters ask nothing else of it, but what this package's models say of themselves
    (`SegmentationModel.facts`). Of several outputs the one named "mask" is taken, else the first.

    Example:
        >>> network: Network = ku.models.unet(filters=4, depth=1)
        >>> network(np.zeros((1, 16, 16, 1)), training=False).shape.as_list()
        [1, 16, 16, 1]
    """

    @property
    def weights(self) -> list[Any]:
        """All variables."""
        ...

    @property
    def layers(self) -> list[Any]:
        """The layers, of which one may be a model."""
        ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The masks of a batch of images."""
        ...
