"""What an evaluation found, as it is kept in `metrics.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator

from keras_unet3p.artifacts.html_table import html_table
from keras_unet3p.artifacts.json_artifact import JsonArtifact
from keras_unet3p.errors import InputError, printable
from keras_unet3p.files import fitting_name

_MOST_SHOWN = 20  # images in a notebook
PICTURES = "pictures"
"""The folder of an evaluation's pictures in that of its files."""
REPORT = "metrics.json"
"""The file of an evaluation's report."""


class EvaluationReport(JsonArtifact):
    """The measures of a model's masks against the truth, image by image and overall.

    Numbers that are not finite, which JSON cannot hold, are None.

    Example:
        >>> report = EvaluationReport(
        ...     mask_kind="binary",
        ...     columns=["dice"],
        ...     images=[{"name": "a", "dice": 0.5}, {"name": "b", "dice": 0.9}],
        ...     overall={"dice": 0.7},
        ... )
        >>> report.names, report.overall["dice"]
        (['a', 'b'], 0.7)
    """

    WAY_OUT: ClassVar[str] = (
        "it tells which pictures an earlier evaluation wrote: remove it, and what is outdated in "
        "the folder 'pictures' beside it"
    )

    mask_kind: str
    """What the masks were taken to hold: binary, classes or instances."""
    columns: list[str]
    """Names of the main measures, for a table."""
    images: list[dict[str, Any]]
    """For each image its `name` and its measures, the worst image first."""
    overall: dict[str, float | None]
    """The measures over all images."""

    volumes: list[dict[str, Any]] = Field(default_factory=list)
    """For each volume of which images are slices its `name`, its number of `slices` and the
    measures over them, the worst volume first."""

    @field_validator("images")
    @classmethod
    def _check_names(cls, images: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not all(isinstance(row.get("name"), str) for row in images):
            raise InputError("an image lacks its 'name'")
        return images

    def rows(self) -> list[list[str]]:
        """The table of the main measures in words: a row for each image, and the overall one.

        Example:
            >>> report = EvaluationReport(
            ...     mask_kind="binary",
            ...     columns=["dice"],
            ...     images=[{"name": "a", "dice": 0.5}],
            ...     overall={"dice": None},
            ... )
            >>> report.rows()
            [['a', '0.5000'], ['overall', '']]
        """
        named = [*((printable(row["name"]), row) for row in self.images), ("overall", self.overall)]
        return [
            [name, *(_figure(row.get(column)) for column in self.columns)] for name, row in named
        ]

    def _repr_html_(self) -> str:
        """For notebooks: the main measures, the worst images first."""
        *images, overall = self.rows()
        shown = [*images[:_MOST_SHOWN], overall]
        more = len(images) - _MOST_SHOWN
        rest = f"<p>and {more} better ones</p>" if more > 0 else ""
        return html_table(["image", *self.columns], shown, bold=overall[0]) + rest

    def picture(self, out: Path, rank: int) -> Path:
        """Where the picture of the image of a row lies, in the folder `out` of the evaluation."""
        folder = out / PICTURES
        return folder / fitting_name(
            folder, self.images[rank]["name"], prefix=f"{rank:04d}_", suffix=".png"
        )

    @property
    def names(self) -> list[str]:
        """Names of the images, in the order of the rows."""
        return [row["name"] for row in self.images]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
