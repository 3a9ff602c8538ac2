"""What is served under the name of one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from keras_unet3p.endpoint.version_policy import VersionPolicy


@dataclass(frozen=True)
class ModelConfig:
    """A model's folder, its versions to serve, and its labels.

    Args:
        name: the model's name.
        folder: the base folder; its subfolders named 1 to 2^63 - 1 are the versions.
        policy: which of them are served.
        labels: label -> version number. A label does not make its version be served.
    """

    name: str
    folder: Path
    policy: VersionPolicy = field(default_factory=VersionPolicy)
    labels: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        labels = ", ".join(f"{label} is {number}" for label, number in sorted(self.labels.items()))
        return f"{self.name}: {self.policy}" + (f"; {labels}" if labels else "")
