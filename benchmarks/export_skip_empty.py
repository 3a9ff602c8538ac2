"""Speed of skipping empty tiles on a mostly empty image, against the same model without it.

python benchmarks/export_skip_empty.py [--filters 32] [--side 2048] [--tile 256]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p.export import export_savedmodel
from keras_unet3p.models import unet3plus


def guided_model(filters, size):
    """A classification-guided UNet 3+ that finds objects in bright tiles and none in dark ones."""
    keras.utils.set_random_seed(0)
    model = unet3plus(filters=filters, classification_guided=True)
    head = model.get_layer("presence_conv")
    features = keras.Model(model.inputs, head.input)
    bright = features(np.ones((1, size, size, 1), np.float32)).numpy().max((0, 1, 2))
    kernel, bias = (np.zeros_like(weight) for weight in head.get_weights())
    kernel[..., int(np.argmax(bright)), 1] = 1 / bright.max()
    bias[1] = -0.3
    head.set_weights([kernel, bias])
    return model


def session(folder):
    loaded = tf.compat.v1.Session(graph=tf.Graph())
    with loaded.graph.as_default():
        meta = tf.compat.v1.saved_model.load(loaded, ["serve"], str(folder))
    signature = meta.signature_def["classes"]
    given, wanted = signature.inputs["image"].name, signature.outputs["class_ids"].name
    return lambda image: loaded.run(wanted, {given: image[np.newaxis]})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    model = guided_model(arguments.filters, arguments.tile)
    base = tempfile.mkdtemp()
    ways = {}
    for skip in (False, True):
        folder = export_savedmodel(
            model, f"{base}/{skip}", tile_size=arguments.tile, skip_empty=skip
        )
        ways[skip] = session(folder)
    side = arguments.side
    mostly_empty, full = np.zeros((2, side, side, 1), np.uint8)
    mostly_empty[side // 2 : side // 2 + side // 8, side // 2 : side // 2 + side // 8] = 255
    full[:] = 255
    for name, image in (("mostly empty", mostly_empty), ("full", full)):
        assert np.array_equal(ways[False](image), ways[True](image))
        seconds = {False: [], True: []}
        for _ in range(arguments.repeats):
            for skip, way in ways.items():
                start = time.perf_counter()
                way(image)
                seconds[skip].append(time.perf_counter() - start)
        without, with_skip = (statistics.median(seconds[skip]) for skip in (False, True))
        print(
            f"{name} {side}x{side} image: {without:.2f} s without the skip, {with_skip:.2f} s with "
            f"it, {without / with_skip:.2f} times as fast"
        )


if __name__ == "__main__":
    main()
