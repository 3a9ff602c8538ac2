"""What the quick start made."""

from __future__ import annotations

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class QuickstartResult:
    """What the quick start made.

    Attributes:
        run: the run folder.
        export: the version folder of the SavedModel.
        dice: of the foreground on held-out images.
        iou: of the foreground on held-out images.
        large_dice: of the foreground on the large image that the endpoint segmented.
        mask: the mask that the endpoint returned, PNG.
        overlay: its overlay, PNG.

    Example:
        >>> result = QuickstartResult(
        ...     run=Path("quickstart/run"),
        ...     export=Path("quickstart/models/cells/1"),
        ...     dice=0.95,
        ...     iou=0.9,
        ...     large_dice=0.94,
        ...     mask=Path("quickstart/large_mask.png"),
        ...     overlay=Path("quickstart/large_overlay.png"),
        ... )
        >>> result.export.name, result.dice
        ('1', 0.95)
    """

    run: Path
    export: Path
    dice: float
    iou: float
    large_dice: float
    mask: Path
    overlay: Path
