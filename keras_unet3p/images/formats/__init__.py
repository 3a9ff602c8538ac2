"""One module for each format that is read window by window, and the list of them.

A module has `planes(path, reading, limits, *, labels)`, which gives the file's planes, and may have
`label_file(path, ...)`, a context that writes masks in the same format. It imports its library
inside of them: most users have a few of the libraries.
"""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from types import ModuleType

from keras_unet3p.images.formats import folders


@dataclasses.dataclass(frozen=True)
class ImageFormat:
    """A format of images.

    Attributes:
        name: of it, which is that of its module.
        suffixes: of its files, lower case.
        always: whether its files are read so; else those that are large, or of which a part is
            asked for: the others are decoded as a whole.
        label_suffix: of the masks that are written in it; None where they are written as pictures.
    """

    name: str
    suffixes: tuple[str, ...]
    always: bool = True
    label_suffix: str | None = None

    @property
    def module(self) -> ModuleType:
        return importlib.import_module(f"{__name__}.{self.name}")


FORMATS = (
    ImageFormat("ome_zarr", (".zarr",), label_suffix=".zarr"),
    ImageFormat("dicom", (".dcm",), label_suffix=".dcm"),
    ImageFormat("nifti", (".nii", ".nii.gz"), label_suffix=".nii.gz"),
    ImageFormat("npy", (".npy",), always=False),
    ImageFormat("tiff", (".tif", ".tiff"), always=False),
    ImageFormat(
        "whole_slide", (".svs", ".ndpi", ".scn", ".mrxs", ".vms", ".vmu", ".bif", ".qptiff")
    ),
)
SUFFIXES = tuple(suffix for each in FORMATS for suffix in each.suffixes)
_BY_NAME = {each.name: each for each in FORMATS}


def format_of(path: Path) -> ImageFormat | None:
    """The format of a file, or of a folder that is one image; None of any other.

    Example:
        >>> format_of(Path("cells.ome.zarr")).name, format_of(Path("cells.png"))
        ('ome_zarr', None)
    """
    name = path.name.lower()
    for each in FORMATS:
        if name.endswith(each.suffixes):
            return each
    return _BY_NAME.get(folders.kind_of_folder(path) or "")


def suffix_of(path: Path) -> str:
    """The suffix of a file of these formats as its name has it; "" where it has none of theirs."""
    name = path.name.lower()
    known = [suffix for each in FORMATS for suffix in each.suffixes if name.endswith(suffix)]
    return path.name[-max(map(len, known)) :] if known else ""
