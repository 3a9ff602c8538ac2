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
        average_precision: of the cells on held-out images, at IoU 0.5.
        large_dice: of the foreground on the large image that the endpoint segmented.
        large_average_precision: of its cells, at IoU 0.5.
        mask: the instance ids that the endpoint returned, PNG of 16 bits.
        overlay: its overlay, PNG.

    Example:
        >>> result = QuickstartResult(
        ...     run=Path("quickstart/run"),
        ...     export=Path("quickstart/models/cells/1"),
        ...     dice=0.95,
        ...     iou=0.9,
        ...     average_precision=0.9,
        ...     large_dice=0.94,
        ...     large_average_precision=0.88,
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
    average_precision: float
    large_dice: float
    large_average_precision: float
    mask: Path
    overlay: Path
