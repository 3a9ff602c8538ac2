"""From a run folder to a SavedModel that TensorFlow Serving serves."""

from __future__ import annotations

import os
from pathlib import Path

from keras_unet3p.config import MAX_PIXELS
from keras_unet3p.export import export_savedmodel
from keras_unet3p.training.history import History
from keras_unet3p.workflow.load_predictor import load_run


def export(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    tile_size: int = 512,
    version: int | None = None,
    halo: int | str | None = None,
    blend: int | None = None,
    border: int = 0,
    threshold: float = 0.5,
    max_pixels: int = MAX_PIXELS,
    max_batch_pixels: int | None = None,
    tiles_per_step: int = 1,
    skip_empty: bool = True,
    symmetries: int = 1,
) -> Path:
    """Export a run's best model, decoding, normalisation and tiling inside.

    Args:
        run: run folder of `train`.
        out: folder of the served model, named as the model; the export becomes its next version.
        tile_size: side of the tiles, pixels.
        version: number of the version folder; None takes the next free one.
        halo, blend, border, threshold, max_pixels, max_batch_pixels, tiles_per_step, skip_empty,
            symmetries: as `keras_unet3p.export.export_savedmodel`.

    Returns:
        The version folder, `OUT/VERSION`.
    """
    model, config = load_run(run)
    stored = config["data"]
    best = History(Path(run) / "history.csv", "val_dice").best()
    masks = {
        "mask_kind": stored["mask_kind"],
        "class_values": stored.get("class_values"),
        "separation": config["training"]["separation"],
    }
    # A network whose encoder normalises does not know them itself.
    values = {"stored_values": stored["normalization"].get("stored_values", [])}
    return export_savedmodel(
        model,
        out,
        tile_size=tile_size,
        version=version,
        classes=stored["classes"],
        value_scale=stored["normalization"]["value_scale"],
        pixels="uint8" if stored["stored_types"] == ["uint8"] else "float32",
        training_figures={**(best or {}), **masks, **values},
        halo=halo,
        blend=blend,
        border=border,
        threshold=threshold,
        max_pixels=max_pixels,
        max_batch_pixels=max_batch_pixels,
        tiles_per_step=tiles_per_step,
        skip_empty=skip_empty,
        symmetries=symmetries,
    )
