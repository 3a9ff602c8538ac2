"""Export to ONNX."""

from __future__ import annotations

import os
from pathlib import Path

from keras_unet3p.export.tile_export import OUTPUT, TileExport, needs
from keras_unet3p.graphs.network import Network


def export_onnx(
    model: Network,
    path: str | os.PathLike,
    *,
    tile_size: int | tuple[int, int] = 512,
    halo: int | str | None = None,
    activation: str | None = "auto",
    opset: int = 17,
) -> Path:
    """Write `model` for one tile size as ONNX.

    Input `tile` float32 (B, T, T, C) in unit values, output `probabilities` float32
    (B, T', T', K): the "tile" signature of the SavedModel. A `StreamingPredictor` makes whole
    images of it, with the geometry that NAME.model_card.json beside the file holds.

    Args:
        model: a Keras model.
        path: file ending in .onnx.
        tile_size, halo: see `tiling.model_geometry`.
        activation: see `graphs.network_function`.
        opset: ONNX operator set.

    Raises:
        ImportError: without the package tf2onnx.
        ValueError: if an argument does not fit the model.

    Example:
        >>> model = ku.models.unet(filters=2, depth=1)
        >>> ku.export.export_onnx(model, "cells.onnx", tile_size=32).name  # doctest: +SKIP
        'cells.onnx'
    """
    try:
        import tf2onnx
    except ImportError as error:
        raise needs("tf2onnx", "export_onnx") from error
    export = TileExport(model, path, ".onnx", tile_size, halo, activation)
    network = export.network
    with export.working() as folder:
        working = folder / export.path.name
        tf2onnx.convert.from_graph_def(
            network.graph_def,
            input_names=[network.input_name],
            output_names=[network.output_name],
            tensors_to_rename={network.input_name: "tile", network.output_name: OUTPUT},
            opset=opset,
            output_path=str(working),
        )
        return export.write(working)
