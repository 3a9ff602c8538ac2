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
    """Write `model` as ONNX for one tile size.

    The input is `tile`, float32 (B, T, T, C) in unit values. The output is `probabilities`, float32
    (B, T', T', K). This is the "tile" signature of the SavedModel. With the geometry in
    NAME.model_card.json, which is written beside the file, a `StreamingPredictor` segments whole
    images with it.

    Args:
        model: a Keras model.
        path: file ending in .onnx.
        tile_size, halo: see `tiling.model_geometry`.
        activation: see `graphs.network_function`.
        opset: version of the ONNX operator set.

    Returns:
        The path.

    Raises:
        ImportError: if the package tf2onnx is not installed.
        ValueError: if an argument does not fit the model.

    Example:
        >>> from keras_unet3p.models import unet
        >>> model = unet(filters=2, depth=1)
        >>> export_onnx(model, "cells.onnx", tile_size=64)  # doctest: +SKIP
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
