"""What the name of a model means."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Literal

from keras_unet3p.artifacts.folds_record import FOLDS_FILE, read_folds
from keras_unet3p.artifacts.model_versions import newest_version
from keras_unet3p.artifacts.postprocessing_record import PostprocessingRecord
from keras_unet3p.artifacts.preset import Preset
from keras_unet3p.artifacts.run_folder import RunFolder
from keras_unet3p.artifacts.run_record import RunRecord
from keras_unet3p.errors import InputError, printable

_WORDS = {
    "run": "a run folder",
    "keras": "a .keras file",
    "export": "an exported model",
    "endpoint": "an endpoint",
    "preset": "a preset",
    "folds": "a cross-validation",
}


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """Where a model comes from. Nothing is loaded to find that out.

    Attributes:
        name: the model as the user named it.
        kind: `"run"`, `"keras"`, `"export"`, `"endpoint"`, `"preset"` or `"folds"`.
        file: of a run its `best.keras`, which need not be there yet; of a `.keras` file itself;
            of a preset its weights; of a cross-validation its `folds.json`.
        run: of a run, and of a `.keras` file in a run folder, that folder; of a preset and of a
            cross-validation their folder.
        version: of an exported model the version folder, the newest one if several are there.

    Example:
        >>> source = ModelSource.of("http://localhost:8501/cells")
        >>> source.kind, source.name
        ('endpoint', 'http://localhost:8501/cells')
        >>> ModelSource.of("nowhere")
        Traceback (most recent call last):
            ...
        keras_unet3p.errors.InputError: nowhere is no run folder (config.json, folds.json), ...
    """

    name: str
    kind: Literal["run", "keras", "export", "endpoint", "preset", "folds"]
    file: Path | None = None
    run: RunFolder | None = None
    version: Path | None = None

    @classmethod
    def of(cls, model: str | os.PathLike[str]) -> ModelSource:
        """Find out what `model` is.

        Raises:
            ValueError: it is none of these.
        """
        source = cls.find(model)
        if source is None:
            raise InputError(
                f"{printable(model)} is no run folder (config.json, folds.json), .keras file, "
                "exported model (saved_model.pb), endpoint URL (http://..., grpc://...) or preset "
                f"({', '.join(Preset.names())})"
            )
        return source

    @classmethod
    def find(cls, model: str | os.PathLike[str]) -> ModelSource | None:
        """As `of`; None where it is none of these. A model of that name goes before a preset."""
        name = os.fspath(model)
        if "://" in name:
            return cls(name, "endpoint")
        path = Path(model)
        if path.suffix == ".keras" and path.is_file():
            run = RunFolder(path.parent)
            return cls(name, "keras", file=path, run=run if run.is_run else None)
        run = RunFolder(path)
        if run.is_run:
            return cls(name, "run", file=run.best, run=run)
        if (path / FOLDS_FILE).is_file():
            return cls(name, "folds", file=path / FOLDS_FILE, run=run)
        version = newest_version(path)
        if version is not None:
            return cls(name, "export", version=version)
        if name not in Preset.names():
            return None
        preset = Preset(name)
        return cls(name, "preset", file=preset.weights, run=preset.run)

    def record(self) -> RunRecord | None:
        """What is known of the training; of a cross-validation its first fold's.

        Raises:
            ValueError: a file is damaged.
        """
        if self.run is None:
            return None
        members = self.members()
        return (members[0] if members else self.run).read_record()

    def members(self) -> list[RunFolder]:
        """The runs of a cross-validation; of another model none.

        Raises:
            ValueError: its `folds.json` is damaged, or one of them is not there.
        """
        found = read_folds(self.run.path) if self.kind == "folds" and self.run else None
        return [] if found is None or self.run is None else found.runs(self.run.path)

    def postprocessing(self) -> PostprocessingRecord | None:
        """What was chosen to follow the network of a run or preset; None for other networks.

        Raises:
            ValueError: the run's file of it is damaged.
        """
        if self.run is None or self.file is None:
            return None
        if self.kind not in ("preset", "folds") and self.file.name != self.run.best.name:
            return None
        return self.run.read_postprocessing()

    def __str__(self) -> str:
        """The model and its kind, for messages."""
        return f"{printable(self.name)} is {_WORDS[self.kind]}"
