"""A run's choices in a file: YAML, or the `config.json` that a run keeps, as JSON is YAML."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field

from keras_unet3p.config.choices import MASK_KINDS
from keras_unet3p.config.reading_choices import ReadingChoices
from keras_unet3p.config.training_config import TrainingConfig
from keras_unet3p.config.validation import Checked, OneOf, unknown_name
from keras_unet3p.errors import InputError, ProblemsError, printable
from keras_unet3p.files import check_format

RUN_FORMAT = 1
"""The newest format of a run's `config.json`."""

FOUND_IN_DATA = (
    "mask_spans",
    "content",
    "num_channels",
    "num_classes",
    "stored_types",
    "normalization",
    "training_names",
    "validation_names",
)
"""What a run finds in its data and notes beside the choices; it finds it anew."""
_SECTIONS = ("format", "data", "training", "init", "versions")
_Path = Annotated[str | None, Field(min_length=1)]


class DataChoices(Checked):
    """The images and masks of a training run, and what the masks hold.

    Example:
        >>> DataChoices(images="images", masks="masks", classes=3).mask_kind
        'auto'
    """

    images: _Path = None
    """Folder of images, a multi-page TIFF, a pattern ('plates/*/images/*.png'), an address
    (s3://...), or a table of pairs (.csv, .json, .jsonl)."""
    masks: _Path = None
    """Masks likewise, paired with the images by stem; a table names them itself."""
    validation_images: _Path = None
    """Held-out images; without them a share of the images is held out."""
    validation_masks: _Path = None
    """Their masks."""
    mask_kind: Annotated[str, BeforeValidator(OneOf(MASK_KINDS))] = "auto"
    """What the masks hold; auto looks at them."""
    classes: int | list[str] | None = None
    """Names of the classes, background first, or their number."""
    class_values: list[int] | None = None
    """The mask values that stand for the classes, rising."""
    ignore: Annotated[int | None, Field(ge=0)] = None
    """Mask value of unlabelled pixels, which are left out; 255 usually."""
    reading: dict[str, Any] | None = None
    """What of the files is read: options of `ReadingChoices`."""

    def model_post_init(self, context: Any) -> None:
        ReadingChoices(**(self.reading or {}))


@dataclasses.dataclass(frozen=True)
class RunChoices:
    """What a file chooses of a run: the options as they stand there, checked.

    Attributes:
        data: those of `DataChoices` that the file gives.
        training: those of `TrainingConfig` that the file gives.

    Example:
        >>> RunChoices(data={"images": "images"}, training={"epochs": 10}).training
        {'epochs': 10}
    """

    data: dict[str, Any]
    training: dict[str, Any]


def read_run_file(path: str | os.PathLike[str]) -> RunChoices:
    """Read the choices of a run from a YAML file, or from the `config.json` of another run.

    The file has the sections `data` (`DataChoices`) and `training` (`TrainingConfig`), either of
    which may be missing. What a run notes beside its choices is passed over.

    Raises:
        InputError: the file cannot be read, is no such mapping, is of a newer format, or holds an
            unknown option or a value that is not accepted; the message names file and option.

    Example:
        >>> import pathlib
        >>> length = pathlib.Path("run.yaml").write_text("training: {epochs: 10, loss: dice}")
        >>> read_run_file("run.yaml").training
        {'epochs': 10, 'loss': 'dice'}
    """
    name = printable(path)
    try:
        content = yaml.load(Path(path).read_bytes(), _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{name} is no YAML: {' '.join(str(error).split())}") from None
    content = _mapping({} if content is None else content, name)
    for section in content:
        if section not in _SECTIONS:
            raise InputError(f"{name}: {unknown_name(section, _SECTIONS)}")
    check_format(path, content.get("format", RUN_FORMAT), RUN_FORMAT)
    data = _mapping(content.get("data") or {}, f"{name}: data")
    data = {option: value for option, value in data.items() if option not in FOUND_IN_DATA}
    training = _mapping(content.get("training") or {}, f"{name}: training")
    for section, values, model in (
        ("data", data, DataChoices),
        ("training", training, TrainingConfig),
    ):
        try:
            model(**values)
        except ProblemsError as error:
            raise ProblemsError(f"{name}: {section}: {error.heading}", error.problems) from None
        except InputError as error:
            raise InputError(f"{name}: {section}: {error}") from None
    return RunChoices(data, training)


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{name}: expected a mapping of names to values")
    return value


class _Loader(yaml.SafeLoader):
    """YAML 1.2 where it matters here: 1e-3 is a number, and no name stands twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"{name!r} is given twice")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)
