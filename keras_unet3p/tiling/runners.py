"""The runner for each kind of model. What a kind needs is imported when a model of it comes."""

from __future__ import annotations

import os
from typing import Any

from keras_unet3p.errors import InputError
from keras_unet3p.geometry import TileGeometry
from keras_unet3p.postprocessing.instance_rule import InstanceRule
from keras_unet3p.tiling.client_runner import ClientRunner
from keras_unet3p.tiling.tile_runner import TileRunner


def runner_of(
    model: Any,
    *,
    tile_size: int | tuple[int, int] = 512,
    halo: int | str | None = None,
    blend: int | None = None,
    geometry: TileGeometry | None = None,
) -> TileRunner:
    """Return the runner for `model`.

    Args:
        model: a Keras model; the path of its `.keras` file or of a run folder; the folder of a
            SavedModel that `export_savedmodel` wrote (a version, or the base folder, of which the
            newest version is taken); or any object with a method `predict_tiles(tiles)`, as the
            endpoint's client has.
        tile_size, halo, blend: for a Keras model or its file; see `model_geometry`. A SavedModel
            has its own.
        geometry: replaces the three arguments above. Needed for an object with `predict_tiles`.

    Raises:
        ValueError: if the path is no such model or an endpoint's URL, the file is damaged, or the
            geometry is missing.
    """
    threshold, rule, versions = 0.5, None, 1
    if isinstance(model, (str, os.PathLike)):
        from keras_unet3p.artifacts import ModelSource

        source = ModelSource.of(model)
        if source.kind == "endpoint":
            raise InputError(
                f"{source}; give its client instead, Client(url, model=...), and the geometry"
            )
        if source.kind == "folds":
            raise InputError(f"{source}; give models.ensemble(...) of its folds' networks instead")
        if source.kind == "preset":
            raise InputError(f"{source}; give models.from_preset({source.name!r}) instead")
        if source.version is not None:
            from keras_unet3p.tiling.saved_model_runner import SavedModelRunner

            return SavedModelRunner(source.version, geometry)
        from keras_unet3p.tiling.keras_file import load_best

        chosen = source.postprocessing()
        if chosen is not None:
            threshold, versions = chosen.threshold, chosen.test_time_augmentation
            if chosen.gives_instances:
                rule = InstanceRule.from_dict(chosen.rule())
        model = load_best(source)
    if hasattr(model, "predict_tiles"):
        if geometry is None:
            raise InputError(
                "geometry must be given for a model behind predict_tiles; its model card has it "
                "(TileGeometry.from_dict(card['geometry']))"
            )
        return ClientRunner(model, geometry)
    from keras_unet3p.tiling.keras_runner import KerasRunner

    return KerasRunner(model, tile_size, halo, blend, geometry, threshold, rule, versions)
