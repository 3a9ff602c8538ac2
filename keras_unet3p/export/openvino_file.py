"""Export to OpenVINO."""

from __future__ import annotations

import os
from pathlib import Path

from keras_unet3p.export.tile_export import OUTPUT, TileExport, needs
from keras_unet3p.graphs.network import Network


def export_openvino(
    model: Network,
    path: str | os.PathLike,
    *,
    tile_size: int | tuple[int, int] = 512,
    halo: int | str | None = None,
    activation: str | None = "auto",
    half: bool = False,
) -> Path:
    """Write `model` as OpenVINO's intermediate representation for one tile size.

    Input and output are those of `export_onnx`. OpenVINO computes in bfloat16 if the processor
    supports it, whatever the file holds. For float32 compile the model with
    `INFERENCE_PRECISION_HINT: f32`.

    Args:
        model: a Keras model.
        path: file ending in .xml. The weights are written into a .bin beside it.
        tile_size, halo: see `tiling.model_geometry`.
        activation: see `graphs.network_function`.
        half: store the weights as float16.

    Returns:
        The path of the .xml file.

    Raises:
        ImportError: if the package openvino is not installed.
        ValueError: if an argument does not fit the model.

    Example:
        >>> from keras_unet3p.models import unet
        >>> model = unet(filters=2, depth=1)
        >>> export_openvino(model, "cells.xml", tile_size=64)  # doctest: +SKIP
    """
    try:
        import openvino
    except ImportError as error:
        raise needs("openvino", "export_openvino") from error
    export = TileExport(model, path, ".xml", tile_size, halo, activation)
    with export.working() as folder:
        graph, working = folder / "graph.pb", folder / export.path.name
        graph.write_bytes(export.network.graph_def.SerializeToString())
        converted = openvino.convert_model(str(graph))
        converted.inputs[0].get_tensor().set_names({"tile"})
        converted.outputs[0].get_tensor().set_names({OUTPUT})
        openvino.save_model(converted, str(working), compress_to_fp16=half)
        return export.write(working.with_suffix(".bin"), working)
