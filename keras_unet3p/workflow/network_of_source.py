"""The network that a model's name stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_unet3p import models
from keras_unet3p.artifacts import ModelSource
from keras_unet3p.errors import InputError
from keras_unet3p.tiling.keras_file import load_best


def network_of(source: ModelSource, members: Sequence[int] | None = None) -> Any:
    """The network of a run, a `.keras` file, a preset or a cross-validation, not compiled.

    That of a cross-validation averages what the networks of its folds say (`models.ensemble`).

    Args:
        source: where it comes from.
        members: of a cross-validation, the numbers of the folds whose networks are taken, from 1
            on; None takes all.

    Raises:
        ValueError: the run's training has not finished an epoch, a file is damaged, or `members`
            does not fit.

    Example:
        >>> network_of(ModelSource.of("nuclei")).architecture
        'unet'
    """
    if members is not None and source.kind != "folds":
        raise InputError(f"members: {source}, which is one network; leave them out")
    if source.kind == "preset":
        return models.from_preset(source.name)
    if source.kind == "folds":
        runs = source.members()
        taken = list(range(1, len(runs) + 1)) if members is None else list(members)
        if not taken or len({*taken}) < len(taken) or not {*taken} <= {*range(1, len(runs) + 1)}:
            raise InputError(
                f"members: found {taken}; expected different folds of 1 to {len(runs)}"
            )
        networks = [load_best(ModelSource.of(runs[number - 1].path)) for number in taken]
        return models.ensemble(networks) if len(networks) > 1 else networks[0]
    return load_best(source)
