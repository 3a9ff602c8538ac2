"""What an export takes from a run besides its network."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from keras_unet3p.artifacts import ModelSource, RunRecord
from keras_unet3p.errors import InputError
from keras_unet3p.postprocessing import InstanceRule, MaskRule
from keras_unet3p.workflow.opening import rule_of, versions_of


@dataclasses.dataclass(frozen=True)
class ExportedRun:
    """A run, a cross-validation or a preset that is about to be exported.

    Attributes:
        source: where the network comes from.
        record: what it was trained on; of a cross-validation its first fold's.
        best: the figures of the best epoch; None where there are none.
        rule: what follows the network.
        is_chosen: whether the rule was chosen on validation images.
        test_time_augmentation: the mirrored and turned versions of a tile that were chosen with it.
    """

    source: ModelSource
    record: RunRecord
    best: dict[str, float] | None
    rule: MaskRule | InstanceRule
    is_chosen: bool
    test_time_augmentation: int = 1

    @classmethod
    def of(cls, run: str | os.PathLike[str]) -> ExportedRun:
        """Read what `run` names.

        Raises:
            ValueError: it is another kind of model, or a file is damaged.
        """
        source = ModelSource.of(run)
        if source.kind not in ("run", "preset", "folds") or source.run is None:
            raise InputError(
                f"run: {source}; expected the folder of a training or a cross-validation, or a "
                "preset"
            )
        record, best = source.record(), source.run.read_history().best()
        assert record is not None
        chosen = source.postprocessing()
        rule, versions = rule_of(chosen, record), versions_of(chosen)
        return cls(source, record, best, rule, chosen is not None, versions)

    @property
    def tells_apart(self) -> bool:
        """Whether the network gives instances."""
        return isinstance(self.rule, InstanceRule)

    @property
    def training_metrics(self) -> dict[str, Any]:
        """What the model card says of the training."""
        found = self.record.data
        return {
            **(self.best or {}),
            "mask_kind": found.mask_kind,
            "class_values": found.class_values,
            "ignore": found.ignore,
            **({"reading": found.reading} if found.reading else {}),
            "separation": self.record.separation,
            "postprocessing": self.rule.to_dict() if self.is_chosen or self.tells_apart else None,
            "mask_spans": found.mask_spans,
            # A network whose encoder normalises does not know them itself.
            "stored_values": found.normalization.get("stored_values", []),
        }
