"""How a loss or a metric says what it takes a network's output for."""

from __future__ import annotations

from collections.abc import Sequence


class PredictionReader:
    """Base of what reads a network's output (B, H, W, K): this package's losses and metrics.

    So `SegmentationModel.compile` can tell a wrong one without knowing the losses and metrics.

    Attributes:
        from_logits: whether it takes the output for logits, else for probabilities.
        multi_label: whether it takes several channels for independent labels, else for the classes
            of a softmax.

    Example:
        >>> class Brightness(PredictionReader):
        ...     from_logits = True
        >>> [reader.from_logits for reader in Brightness().readers()]
        [True]
    """

    from_logits: bool = False
    multi_label: bool = False

    def readers(self) -> Sequence[PredictionReader]:
        """Itself, or the parts that read the output one by one."""
        return (self,)
