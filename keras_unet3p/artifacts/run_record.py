"""What a training run was asked to do, kept beside its results."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from pydantic import Field, field_validator

from keras_unet3p.artifacts.data_record import DataRecord
from keras_unet3p.artifacts.json_artifact import JsonArtifact
from keras_unet3p.config import RUN_FORMAT, TrainingConfig
from keras_unet3p.errors import InputError

_LENGTHS = ("epochs", "hours")
_MAY_CHANGE = ("tuning", "measure", "test_time_augmentation", "callbacks")
"""Choices of `TrainingConfig` that a run may change when it goes on: they are not the network's."""
_BEGINNINGS = ("init", "encoder_weights")
"""Choices that name a file of weights, which may lie elsewhere when the run goes on."""
_OF_EARLIER = {"instances": "gaps"}
"""What runs of earlier versions did, which have no entry for it."""


class Difference(NamedTuple):
    """An entry that two runs do not agree in.

    Example:
        >>> Difference("filters", before=4, now=6).name
        'filters'
    """

    name: str
    before: Any
    now: Any


_PLACES = {"images", "masks", "validation_images", "validation_masks"}


class RunRecord(JsonArtifact):
    """The `config.json` of a run folder: the configuration as used, and what was found in the data.

    `unet3p train --config RUN/config.json` reads the choices of this file again.

    Example:
        >>> record = RunRecord(
        ...     training={"architecture": "unet", "separation": 2},
        ...     data={"mask_kind": "binary", "classes": None, "stored_types": ["uint8"],
        ...           "normalization": {}},
        ... )
        >>> record.separation, record.data.mask_kind, record.training_config().architecture
        (2, 'binary', 'unet')
    """

    FORMAT: ClassVar[int] = RUN_FORMAT
    WAY_OUT: ClassVar[str] = (
        "restore it from a copy, or remove it and give `train` the run's own options again, which "
        "it then writes anew"
    )

    training: dict[str, Any]
    """The choices of `TrainingConfig`, as they stand in the file."""
    data: DataRecord
    """The images and masks."""
    init: dict[str, Any] | None = None
    """The weights that the run began with: the `source` as it was named, the `content` of its file
    (SHA-256), and of a network which layers were taken over."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of the packages that the run was begun with."""

    @field_validator("training")
    @classmethod
    def _check_separation(cls, training: dict[str, Any]) -> dict[str, Any]:
        if type(training.get("separation")) is not int:
            raise InputError("it lacks 'separation', a whole number")
        return training

    @property
    def separation(self) -> int:
        """Background drawn between touching instances in training, pixels of each."""
        return self.training["separation"]

    @property
    def learns_distance(self) -> bool:
        """Whether the network gives the maps of instances, `targets.instance_maps`."""
        chosen = self.training.get("instances", _OF_EARLIER["instances"])
        return self.data.mask_kind == "instances" and chosen != "gaps"

    def training_config(self) -> TrainingConfig:
        """The choices, checked.

        Kept apart from reading: an earlier version may have accepted what this one does not, and
        its networks are used all the same.

        Raises:
            ValueError: one of them is not accepted by this version.
        """
        return TrainingConfig(**self.training)

    def prolonged(self, now: RunRecord) -> RunRecord:
        """This record, with the epochs and hours of another one where that one has more.

        Hours are more than no hours: the run then ends by time.

        Example:
            >>> data = dict(mask_kind="binary", classes=None, stored_types=[], normalization={})
            >>> two, three = (
            ...     RunRecord(training={"separation": 1, "epochs": number}, data=data)
            ...     for number in (2, 3)
            ... )
            >>> two.prolonged(three).training["epochs"], three.prolonged(two).training["epochs"]
            (3, 3)
        """
        more = {
            name: now.training[name]
            for name in _LENGTHS
            if (now.training.get(name) or 0) > (self.training.get(name) or 0)
        }
        return self.model_copy(update={"training": {**self.training, **more}}) if more else self

    def with_changes_of(self, now: RunRecord) -> RunRecord:
        """This record with what another one may choose anew: tuning, measure and callbacks."""
        anew = {name: now.training[name] for name in _MAY_CHANGE if name in now.training}
        return self.model_copy(update={"training": {**self.training, **anew}})

    def _began_as(self, now: RunRecord) -> bool:
        """Whether both tell the content of the weights that they began with, and it is the same."""
        before, after = ((record.init or {}).get("content") for record in (self, now))
        return before is not None and before == after

    def in_places_of(self, now: RunRecord) -> RunRecord:
        """This record with the places at which another one has the same images and weights.

        Example:
            >>> data = dict(mask_kind="binary", classes=None, stored_types=[], normalization={})
            >>> before, now = (
            ...     RunRecord(training={"separation": 1, "init": path}, data=data,
            ...               init={"source": path, "content": "a1"})
            ...     for path in ("old/best.keras", "new/best.keras")
            ... )
            >>> before.difference(now), before.in_places_of(now).init
            (None, {'source': 'new/best.keras', 'content': 'a1'})
        """
        moved = {name: now.training[name] for name in _BEGINNINGS if name in now.training}
        init = self.init
        if now.init is not None:  # whose file may have gone, or changed, since
            init = {**now.init, **(self.init or {}), "source": now.init["source"]}
        training = {**self.training, **moved}
        return self.model_copy(update={"data": now.data, "training": training, "init": init})

    def difference(self, now: RunRecord) -> Difference | None:
        """The first entry in which a run that is asked for is not the one that this file describes.

        Entries that this file lacks within a value, because an earlier version wrote it, do not
        count; nor do the versions of the packages, nor what may be chosen anew, nor
        where the images and masks, or the weights that the run began with, lie, if they hold the
        same.

        Example:
            >>> data = dict(mask_kind="binary", classes=None, stored_types=[], normalization={})
            >>> four, six = (
            ...     RunRecord(training={"separation": 1, "filters": filters}, data=data)
            ...     for filters in (4, 6)
            ... )
            >>> four.difference(six)
            Difference(name='filters', before=4, now=6)
        """
        before = self.to_dict()
        ignored = {"content", "mask_spans"}  # what follows from the data
        if self.data.content is not None and self.data.content == now.data.content:
            ignored |= _PLACES
        for section, values in now.to_dict().items():
            if section not in ("training", "data"):
                continue
            for name, value in values.items():
                if name in (_MAY_CHANGE if section == "training" else ignored):
                    continue
                found = before[section].get(name, _OF_EARLIER.get(name))
                if name in _BEGINNINGS and None not in (found, value) and self._began_as(now):
                    continue
                if not agree(found, value):
                    return Difference(name, found, value)
        return None


def agree(before: Any, now: Any) -> bool:
    """Whether what a run was begun with is as now; earlier versions wrote fewer entries.

    Example:
        >>> agree({"mean": 0.5}, {"mean": 0.5, "std": 0.2})
        True
        >>> agree({"mean": 0.5, "std": 0.2}, {"mean": 0.5})
        False
    """
    if isinstance(before, dict) and isinstance(now, dict):
        return all(agree(value, now.get(name)) for name, value in before.items())
    return before == now
