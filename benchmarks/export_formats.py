"""Latency of the exported formats on one tile, and their difference from the Keras model.

The formats take turns, with two threads each. The ratio is that of the best times, which other
programs on the machine disturb least. Formats whose package is missing are left out.

    python benchmarks/export_formats.py [--network unet3plus] [--filters 64] [--tile 320]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from keras_unet3p import models
from keras_unet3p.export import export_litert, export_onnx, export_openvino, export_savedmodel

THREADS = 2


def session(folder, bfloat16=False):
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=THREADS)
    if bfloat16:
        config.graph_options.rewrite_options.auto_mixed_precision_onednn_bfloat16 = 1  # ON
    loaded = tf.compat.v1.Session(graph=tf.Graph(), config=config)
    with loaded.graph.as_default():
        meta = tf.compat.v1.saved_model.load(loaded, ["serve"], str(folder))
    signature = meta.signature_def["tile"]
    given, wanted = signature.inputs["tile"].name, signature.outputs["probabilities"].name
    return lambda tile: loaded.run(wanted, {given: tile})


def onnx(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    loaded = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda tile: loaded.run(None, {"tile": tile})[0]


def openvino(path, precision):
    import openvino

    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": THREADS}
    loaded = openvino.compile_model(str(path), "CPU", options)
    return lambda tile: loaded(tile)[0]


def litert(path):
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        Interpreter = tf.lite.Interpreter
    loaded = Interpreter(model_path=str(path), num_threads=THREADS)
    loaded.allocate_tensors()
    given, wanted = (
        details()[0]["index"] for details in (loaded.get_input_details, loaded.get_output_details)
    )

    def run(tile):
        loaded.set_tensor(given, tile)
        loaded.invoke()
        return loaded.get_tensor(wanted)

    return run


def plain_saved_model(model, folder, size):
    """The SavedModel written by `tf.saved_model.save`: with variables, nothing folded."""
    spec = tf.TensorSpec((None, *size), tf.float32, name="tile")

    class Holder(tf.Module):
        @tf.function(input_signature=[spec], jit_compile=False)
        def serve(self, tile):
            return {"probabilities": model(tile, training=False)}

    holder = Holder()
    holder.variables_of_model = [getattr(v, "value", v) for v in model.weights]
    holder.variables_of_model = [
        v if not callable(v) else w
        for v, w in zip(holder.variables_of_model, model.weights, strict=True)
    ]
    tf.saved_model.save(holder, str(folder), signatures={"tile": holder.serve})
    loaded = tf.saved_model.load(str(folder))
    run = loaded.signatures["tile"]
    return lambda tile, keep=loaded: run(tile=tf.constant(tile))["probabilities"].numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="unet3plus")
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--tile", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    model = getattr(models, arguments.network)((None, None, 1), filters=arguments.filters)
    for layer in model.layers:  # batch norms that change values
        if hasattr(layer, "moving_variance"):
            shape = layer.moving_variance.shape
            layer.moving_variance.assign(np.random.default_rng(0).uniform(0.5, 2.0, shape))
    size = arguments.tile
    keras_function = tf.function(lambda x: model(x, training=False))
    folder = Path(tempfile.mkdtemp())
    options = {"tile_size": size}
    exported = export_savedmodel(model, folder / "frozen", **options)
    ways = {
        "Keras model in tf.function": lambda tile: keras_function(tile).numpy(),
        "SavedModel of tf.saved_model.save": plain_saved_model(
            model, folder / "plain", (size, size, 1)
        ),
        "SavedModel of export_savedmodel": session(exported),
        "the same, bfloat16 by the graph rewriter": session(exported, True),
    }
    for name, make in (
        ("ONNX Runtime", lambda: onnx(export_onnx(model, folder / "m.onnx", **options))),
        (
            "OpenVINO, float32",
            lambda: openvino(export_openvino(model, folder / "m.xml", **options), "f32"),
        ),
        ("OpenVINO, bfloat16", lambda: openvino(folder / "m.xml", "bf16")),
        ("LiteRT (XNNPACK)", lambda: litert(export_litert(model, folder / "m.tflite", **options))),
    ):
        try:
            ways[name] = make()
        except ImportError as error:
            print(f"left out: {name} ({error})")
    tile = np.random.default_rng(0).random((1, size, size, 1), np.float32)
    expected = keras_function(tile).numpy()
    seconds = {name: [] for name in ways}
    differences = {name: np.abs(way(tile) - expected).max() for name, way in ways.items()}
    for _ in range(arguments.repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way(tile)
            seconds[name].append(time.perf_counter() - start)
    base = min(seconds["Keras model in tf.function"])
    print(f"{arguments.network} of {arguments.filters} filters, one {size}x{size} tile:")
    print("| format | median ms | best ms | times the Keras model (best) | largest difference |")
    print("| --- | --- | --- | --- | --- |")
    for name in ways:
        median, best = statistics.median(seconds[name]), min(seconds[name])
        print(
            f"| {name} | {median * 1e3:.0f} | {best * 1e3:.0f} | {base / best:.2f} | "
            f"{differences[name]:.1e} |"
        )


if __name__ == "__main__":
    main()
