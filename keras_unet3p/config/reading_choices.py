"""What of a file is read, where it holds more than one image."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from keras_unet3p.config.validation import Checked, OneOf

SLICE_AXES = ("acquired", "axial", "coronal", "sagittal")
"""Along which a volume is cut into slices; acquired: as they follow each other in the file."""

CT_WINDOWS = {
    "lung": (-600.0, 1500.0),
    "soft-tissue": (40.0, 400.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
    "liver": (60.0, 160.0),
}
"""Names for usual windows of CT: centre and width in Hounsfield units."""

_AXES = frozenset("tczyxs")


def _check_axes(axes: str | None) -> str | None:
    if axes is not None and not (
        set(axes) <= _AXES and len(set(axes)) == len(axes) and {"y", "x"} <= set(axes)
    ):
        raise PydanticCustomError(
            "axes", "expected letters of t, c, z, y, x and s (samples), y and x among them"
        )
    return axes


def _check_window(window: str | None) -> str | None:
    if window is not None and window not in CT_WINDOWS and _numbers(window) is None:
        raise PydanticCustomError(
            "window",
            "expected CENTRE,WIDTH with a width above 0, or one of {names}",
            {"names": ", ".join(CT_WINDOWS)},
        )
    return window


def _numbers(window: str) -> tuple[float, float] | None:
    try:
        center, width = (float(part) for part in window.split(","))
    except ValueError:
        return None
    return (center, width) if width > 0 else None


class ReadingChoices(Checked):
    """What of an image file is read: pyramid level, channels, axes, slices.

    Example:
        >>> ReadingChoices(window="40,400").center_and_width, ReadingChoices().level
        ((40.0, 400.0), 0)
    """

    level: Annotated[int, Field(ge=0)] = 0
    """Pyramid level of OME-Zarr, OME-TIFF and whole slides; 0 is the full resolution."""
    channels: Annotated[str | None, Field(min_length=1)] = None
    """Channels to take, names as the file tells them or numbers from 0, with commas: DAPI,GFP."""
    axes: Annotated[str | None, AfterValidator(_check_axes)] = None
    """Axes of a TIFF or Zarr array whose file does not tell them, or tells them wrongly: zyx."""
    slice_axis: Annotated[str, BeforeValidator(OneOf(SLICE_AXES))] = "acquired"
    """How a medical volume is cut into slices."""
    neighbors: Annotated[int, Field(ge=0)] = 0
    """Slices on either side of each that become its channels, as the paper of UNet 3+ has it."""
    window: Annotated[str | None, AfterValidator(_check_window)] = None
    """Values of CT that become 0 to 1: CENTRE,WIDTH in Hounsfield units, or lung, soft-tissue,
    bone, brain, liver."""

    @property
    def center_and_width(self) -> tuple[float, float] | None:
        """The window in numbers; None for none."""
        if self.window is None:
            return None
        return CT_WINDOWS.get(self.window) or _numbers(self.window)

    def of_masks(self) -> ReadingChoices:
        """What of it holds for the masks that belong to such images."""
        return ReadingChoices(level=self.level, slice_axis=self.slice_axis)

    def over(self, default: ReadingChoices) -> ReadingChoices:
        """These choices, and where none was made those of another."""
        return ReadingChoices(**{**default.given(), **self.model_dump(exclude_unset=True)})

    def given(self) -> dict[str, Any]:
        """What is not as by default, as a file keeps it."""
        return self.model_dump(exclude_defaults=True)
