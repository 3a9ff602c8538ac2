"""Throughput of the tilers against two common methods, on one network and one image.

All methods use tiles of the same size and the same step. The number of tiles can differ: for some
image sizes, mirroring on all sides needs one more row and column. The methods take turns, and best
times are compared. Memory is the growth in a separate process per method.

    python benchmarks/tiling.py [--side 2048] [--filters 16] [--repeats 5]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p.export import export_savedmodel
from keras_unet3p.models import unet
from keras_unet3p.tiling import StreamingPredictor, predict_image

TILE, HALO, BATCH = 512, 64, 1


def in_graph(model, image, blend=0):
    return predict_image(model, image, tile_size=TILE, halo=HALO, blend=blend)


def blended(model, image):
    return in_graph(model, image, None)


def saved_model(model, image):
    if not hasattr(saved_model, "run"):
        folder = tempfile.mkdtemp()
        version = export_savedmodel(
            model, folder, tile_size=TILE, halo=HALO, blend=0, input_dtype="float32"
        )
        session = tf.compat.v1.Session(graph=tf.Graph())
        with session.graph.as_default():
            meta = tf.compat.v1.saved_model.load(session, ["serve"], str(version))
        signature = meta.signature_def["probabilities"]
        saved_model.run = lambda image: session.run(
            signature.outputs["probabilities"].name, {signature.inputs["image"].name: image[None]}
        )[0]
    return saved_model.run(image)


def streaming(model, image):
    if not hasattr(streaming, "run"):
        streaming.run = StreamingPredictor(model, tile_size=TILE, halo=HALO, blend=0)
    return streaming.run.predict(image, kind="probabilities", progress=False)


def stacked_patches(model, image):
    """Mirrors the image on all sides, runs `model.predict` on an array of tiles and joins them."""
    core = TILE - 2 * HALO
    rows, columns = (-(-side // core) for side in image.shape[:2])
    padded = np.pad(
        image,
        (
            (HALO, rows * core + HALO - image.shape[0]),
            (HALO, columns * core + HALO - image.shape[1]),
            (0, 0),
        ),
        mode="reflect",
    )
    patches = np.stack(
        [
            padded[r * core : r * core + TILE, c * core : c * core + TILE]
            for r in range(rows)
            for c in range(columns)
        ]
    )
    found = model.predict(patches, batch_size=BATCH, verbose=0)[:, HALO:-HALO, HALO:-HALO]
    found = found.reshape(rows, columns, core, core, -1).transpose(0, 2, 1, 3, 4)
    return found.reshape(rows * core, columns * core, -1)[: image.shape[0], : image.shape[1]]


def gaussian_windows(model, image):
    """MONAI's `sliding_window_inference` with Gaussian weights, written with TensorFlow."""
    step = TILE - 2 * HALO
    if not hasattr(gaussian_windows, "run"):
        gaussian_windows.run = tf.function(lambda x: model(x, training=False))
        position = (np.arange(TILE) - (TILE - 1) / 2) / (TILE * 0.125)
        weights = np.exp(-0.5 * position**2)
        weights = np.maximum(np.outer(weights, weights), 1e-3).astype(np.float32)
        gaussian_windows.weights = weights[..., np.newaxis]
    weights = gaussian_windows.weights
    starts = [
        [min(i * step, side - TILE) for i in range(-(-(side - TILE) // step) + 1)]
        for side in image.shape[:2]
    ]
    total = np.zeros((*image.shape[:2], 1), np.float32)
    count = np.zeros((*image.shape[:2], 1), np.float32)
    for top in starts[0]:
        for left in starts[1]:
            window = np.s_[top : top + TILE, left : left + TILE]
            total[window] += gaussian_windows.run(image[window][np.newaxis])[0].numpy() * weights
            count[window] += weights
    return total / count


WAYS = {
    "in the graph, hard cut": in_graph,
    "in the graph, blended": blended,
    "exported SavedModel, in a session": saved_model,
    "streaming predictor": streaming,
    "model.predict on stacked patches": stacked_patches,
    "sliding windows, Gaussian (MONAI's way)": gaussian_windows,
}


def build(filters):
    keras.utils.set_random_seed(0)
    return unet((None, None, 1), filters=filters, padding="same", batch_norm=True)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def memory_of(way, side, filters):
    """Peak growth in MB over the resident memory after one small image."""
    command = [sys.executable, __file__, "--memory-of", way, "--side", str(side)]
    done = subprocess.run(
        [*command, "--filters", str(filters)], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    model = build(arguments.filters)
    image = np.random.default_rng(0).random((arguments.side, arguments.side, 1), np.float32)
    if arguments.memory_of:
        way = WAYS[arguments.memory_of]
        way(model, image[:600, :600])
        before = resident()
        way(model, image)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print((peak - before) / 1e6)
        return
    seconds = {name: [] for name in WAYS}
    for way in WAYS.values():
        way(model, image[:600, :600])
    for _ in range(arguments.repeats):
        for name, way in WAYS.items():
            start = time.perf_counter()
            way(model, image)
            seconds[name].append(time.perf_counter() - start)
    pixels = arguments.side**2 / 1e6
    first = min(seconds["model.predict on stacked patches"])
    print(f"U-Net of {arguments.filters} filters, {arguments.side}x{arguments.side}, tile {TILE}:")
    print("| way | megapixels/s | times model.predict | memory |")
    print("| --- | --- | --- | --- |")
    for name in WAYS:
        best = min(seconds[name])
        memory = memory_of(name, arguments.side, arguments.filters)
        print(f"| {name} | {pixels / best:.2f} | {first / best:.2f} | {memory:.0f} MB |")


if __name__ == "__main__":
    main()
