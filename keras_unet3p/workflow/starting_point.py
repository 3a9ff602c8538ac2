"""Where a training begins: with new weights, with those of another network, or in its own run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_unet3p import models
from keras_unet3p.artifacts import ModelSource, RunFolder
from keras_unet3p.config import ARCHITECTURES, TrainingConfig
from keras_unet3p.config.training_config import NETWORK_OPTIONS
from keras_unet3p.errors import InputError, printable
from keras_unet3p.images import Normalization
from keras_unet3p.models.arguments import level_filters
from keras_unet3p.workflow.network_of_source import network_of
from keras_unet3p.workflow.opening import own_normalization

_HEADS = ("deep_supervision", "classification_guided")  # they add heads, and change nothing else
_FREE = (*_HEADS, "batch_norm_synchronized")  # what another choice than the network's may be of
_NOT_TAKEN = (
    "input_shape",
    "num_classes",
    "classifier_activation",
    "normalization",
    "encoder_weights",
    "encoder_trainable",
    "prefix",
    "name",
)
_WITHOUT_WEIGHTS = {
    "export": (
        "whose graph holds constants in which convolutions and batch normalisations are folded "
        "into one: its layers cannot be had back. Give the run or the .keras file that it was "
        "exported from"
    ),
    "folds": "whose networks have weights of their own each. Give the folder of one of its folds",
    "endpoint": "which gives masks and no weights. Give a run folder or a .keras file",
}


@dataclasses.dataclass(frozen=True)
class StartingPoint:
    """The configuration of a run, completed, and what the run begins with.

    Attributes:
        config: with the architecture of the network that it begins with, where none was chosen.
        network: the one whose weights are taken over; None where the weights are new, or where the
            run goes on from its own.
        normalization: the one with which frozen layers were trained; None for the data's own.
        on_taken: is called with what the network took over.

    Example:
        >>> start = StartingPoint.of(TrainingConfig(architecture="unet"), RunFolder("runs/cells"))
        >>> start.config.architecture, start.network
        ('unet', None)
    """

    config: TrainingConfig
    network: Any = None
    normalization: Normalization | None = None
    on_taken: Callable[[models.TakenWeights], object] = lambda taken: None

    @classmethod
    def of(cls, config: TrainingConfig, run: RunFolder) -> StartingPoint:
        """Find out where a run begins; the network of `init` is loaded unless the run goes on.

        Raises:
            ValueError: `init` names no network whose weights can be had, or one that another
                choice contradicts.
        """
        if config.init is None:
            return cls(config)
        frozen = bool(config.frozen_parts())
        if run.is_run and run.saved():  # it goes on, and needs no other network
            record = run.read_record()
            if record.training.get("init") is None:
                return cls(config)
            rule = Normalization.from_dict(record.data.normalization) if frozen else None
            return cls(_filled(config, record.training), normalization=rule)
        source = ModelSource.of(config.init)
        if source.kind in _WITHOUT_WEIGHTS:
            raise InputError(f"init: {source}, {_WITHOUT_WEIGHTS[source.kind]}")
        network = network_of(source)
        if not getattr(network, "options", None):
            raise InputError(
                f"init: {printable(config.init)} does not tell its architecture; expected a "
                "network of this package's builders"
            )
        rule = None
        if frozen and source.run is not None:
            rule = Normalization.from_dict(source.run.read_record().data.normalization)
        elif frozen:
            rule = own_normalization(network)
        return cls(_completed(config, network), network, rule)

    @property
    def normalizes_itself(self) -> bool:
        """Whether the network's encoder normalises images as it did when it was trained."""
        options = self.network.options if self.network is not None else {}
        return options.get("encoder", "plain") != "plain" and options["normalization"] is None

    def builder_options(self) -> dict[str, Any]:
        """The arguments of the architecture's builder, but for what the data decide."""
        if self.network is None:
            return self.config.network_options()
        theirs = self.network.options
        options = {name: value for name, value in theirs.items() if name not in _NOT_TAKEN}
        chosen = {name: getattr(self.config, name) for name in _HEADS}
        heads = {name: value for name, value in chosen.items() if value is not None}
        if any(theirs[name] != value for name, value in heads.items()):
            options.pop("head_weights", None)  # they may name heads that are not there
        if self.config.batch_norm_synchronized is not None:
            options["batch_norm_synchronized"] = self.config.batch_norm_synchronized
        return {**options, **heads}

    def give_weights(self, model: Any) -> None:
        """Give a new network the weights that it begins with, and freeze what is to be frozen."""
        if self.network is not None:
            self.on_taken(models.take_weights(model, self.network))
        if self.config.frozen_parts():
            models.freeze_layers(model, self.config.frozen_parts())

    def note(self, taken: models.TakenWeights) -> dict[str, Any]:
        """What the record of the run keeps of its beginning."""
        return {
            "source": self.config.init,
            "architecture": self.config.architecture,
            "taken": list(taken.taken),
            "averaged": list(taken.averaged),
            "new": list(taken.new),
        }


def _completed(config: TrainingConfig, network: Any) -> TrainingConfig:
    """With the network's own architecture and options, which the choices do not contradict."""
    theirs, name = network.options, network.architecture
    if "architecture" in config.model_fields_set and config.architecture != name:
        raise _contradiction("architecture", config.architecture, name)
    own = ARCHITECTURES[name].options
    for option in NETWORK_OPTIONS:
        value = getattr(config, option)
        if value is None or option in _FREE or option not in own:
            continue  # what the architecture does not have, the configuration refuses
        if option in ("filters", "depth"):
            levels = level_filters(theirs["filters"], theirs.get("depth"))
            same = value == (levels[0] if option == "filters" else len(levels) - 1)
        else:
            same = value == theirs[option]
        if not same:
            raise _contradiction(option, value, theirs[option])
    return _filled(config, {**{option: theirs.get(option) for option in own}, "architecture": name})


def _contradiction(option: str, found: Any, theirs: Any) -> InputError:
    return InputError(
        f"{option} is {found!r}, and the network of init has {theirs!r}; leave it out, or begin "
        "without init"
    )


def _filled(config: TrainingConfig, theirs: dict[str, Any]) -> TrainingConfig:
    """With these network options where none were chosen, as far as a configuration knows them."""
    chosen = {name: value for name, value in config.to_dict().items() if value is not None}
    if "architecture" not in config.model_fields_set:
        chosen["architecture"] = theirs["architecture"]
    known = {name: theirs[name] for name in NETWORK_OPTIONS if theirs.get(name) is not None}
    known.pop("encoder_weights", None)  # the network has learnt since
    if not isinstance(known.get("filters"), int) or (
        chosen["architecture"] == "fcn" and known.get("encoder") != "plain"
    ):
        known.pop("filters", None)
    if not isinstance(known.get("batch_norm"), bool):
        known.pop("batch_norm", None)
    source = ModelSource.find(chosen["init"])  # a run that goes on may have outlived it
    if source is None or source.kind != "preset":
        chosen["init"] = str(Path(chosen["init"]).resolve())
    return TrainingConfig(**{**known, **chosen})
