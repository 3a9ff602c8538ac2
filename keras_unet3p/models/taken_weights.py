"""What a network has taken over from another one."""

from __future__ import annotations

import dataclasses

_HEADS = ("mask", "presence", "scores")


@dataclasses.dataclass(frozen=True)
class TakenWeights:
    """Which layers of a network have the weights of another one; `take_weights` tells it.

    Attributes:
        taken: names of the layers with weights that have the other network's.
        averaged: those among them whose kernel was averaged over the channels of the image.
        new: names of the layers that are as they were.
        num_classes: of the network.

    Example:
        >>> print(ku.models.TakenWeights(("e1_1_conv", "d1_conv"), (), ("mask_conv",), 3))
        took 2 of 3 layers; new: head (3 classes)
    """

    taken: tuple[str, ...]
    averaged: tuple[str, ...]
    new: tuple[str, ...]
    num_classes: int

    def __str__(self) -> str:
        parts = [f"took {len(self.taken)} of {len(self.taken) + len(self.new)} layers"]
        if self.averaged:
            parts.append(f"averaged over the image's channels: {', '.join(self.averaged)}")
        classes = f"{self.num_classes} class{'es' if self.num_classes > 1 else ''}"
        others = [name for name in self.new if not name.startswith(_HEADS)]
        new = [f"head ({classes})"] if len(others) < len(self.new) else []
        new += others[:5] + ([f"and {len(others) - 5} more"] if len(others) > 5 else [])
        if new:
            parts.append(f"new: {', '.join(new)}")
        return "; ".join(parts)
