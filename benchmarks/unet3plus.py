"""UNet 3+ at full size: low-resolution upsample-convolutions against UpSampling2D + Conv2D.

Both networks have the same weights and take turns in one run. The script prints medians and ratios.

    python benchmarks/unet3plus.py [--sizes 320 512 1024] [--repeats 5] [--only forward] [--quick]

- forward: the frozen graph, batch normalisation folded, one image;
- training step: forward, backward and an SGD update, one image;
- peak memory: the highest resident memory of a process that makes one training step at batch 2,
  minus its memory before the step;
- floor: the time for the multiply-adds of the faster network at the rate that this machine reaches
  in the 320 -> 320 aggregation convolution at full resolution.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import threading
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p import compat, graphs, models


def build(size, method, filters, dtype="float32"):
    keras.mixed_precision.set_global_policy(dtype) if dtype != "float32" else None
    keras.utils.set_random_seed(0)
    model = models.unet3plus((size, size, 1), filters=filters, upsample_method=method)
    keras.mixed_precision.set_global_policy("float32")
    return model


def frozen(model, size):
    """The forward pass as it is exported: with variables as constants."""
    model = graphs.fold_batch_norm(model)
    call = tf.function(lambda image: model(image, training=False))
    concrete = call.get_concrete_function(tf.TensorSpec((1, size, size, 1)))
    return compat.with_constants(concrete)


def training_step(model, jit_compile=False):
    optimizer = keras.optimizers.SGD(1e-4)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=jit_compile)
    def step(image, mask):
        with tf.GradientTape() as tape:
            prediction = model(image, training=True)
            loss = tf.reduce_mean(keras.losses.binary_crossentropy(mask, prediction))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return step


def medians(functions, repeats):
    """Median seconds of each. They take turns, so that a busy moment affects all of them."""
    for function in functions:
        function()
    times = [[] for _ in functions]
    for _ in range(repeats):
        for function, measured in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            measured.append(time.perf_counter() - start)
    return [statistics.median(measured) for measured in times]


def multiply_adds(size, filters, low_resolution):
    """Multiply-adds of one forward pass, from the shapes of all convolutions."""
    channels = [filters * 2**i for i in range(5)]
    branch, wide = filters, 5 * filters
    area = [(size // 2**i) ** 2 for i in range(5)]
    total = 0
    for stage, width in enumerate(channels):
        before = channels[stage - 1] if stage else 1
        total += area[stage] * 9 * (before * width + width * width)
    for stage in range(4):
        for source in range(5):
            width = channels[source] if source <= stage or source == 4 else wide
            at = source if low_resolution and source > stage else stage
            total += area[at] * 9 * width * branch
        total += area[stage] * 9 * wide * wide
    return total + area[0] * 9 * wide


def convolution(size, filters, dtype):
    """The aggregation convolution, whose rate is taken as the machine's."""
    wide = 5 * filters
    x = tf.random.normal((1, size, size, wide), dtype=dtype)
    kernel = tf.random.normal((3, 3, wide, wide), dtype=dtype)
    call = tf.function(lambda: tf.nn.conv2d(x, kernel, 1, "SAME"))
    return call, size * size * 9 * wide * wide


def resident_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure_memory(size, method, filters):
    """Runs in a separate process: growth of the resident memory in a training step at batch 2."""
    step = training_step(build(size, method, filters))
    image = tf.random.normal((2, size, size, 1))
    mask = tf.cast(image > 0, tf.float32)
    before, peak, done = resident_bytes(), 0, threading.Event()

    def watch():
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    step(image, mask)
    done.set()
    watcher.join()
    total = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"step": max(peak, before) - before, "process": total}))


def peak_memory(size, method, filters):
    """Bytes by name, or None if the step needs more memory than the machine has."""
    command = [sys.executable, __file__, "--memory", method, "--sizes", str(size)]
    command += ["--filters", str(filters)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == -signal.SIGKILL or "ResourceExhausted" in result.stderr:
        return None
    result.check_returncode()
    return json.loads(result.stdout.splitlines()[-1])


def show(size, name, first, second, unit):
    print(
        f"| {size} | {name} | {first:.3f} {unit} | {second:.3f} {unit} | {second / first:.2f} |",
        flush=True,
    )


def report_forward(size, filters, repeats):
    image = tf.random.normal((1, size, size, 1))
    graphs = [
        frozen(build(size, method, filters, dtype), size)
        for method, dtype in (
            ("plain", "float32"),
            ("auto", "float32"),
            ("auto", "mixed_bfloat16"),
        )
    ]
    convolve, operations = convolution(size, filters, "float32")
    calls = [lambda g=graph: g(image) for graph in graphs]
    plain, low, half, one = medians([*calls, convolve], repeats)
    floor = one * multiply_adds(size, filters, True) / operations
    show(size, "forward, float32", plain, low, "s")
    show(size, "forward, bfloat16 against plain float32", plain, half, "s")
    show(size, "forward, float32, against the machine's floor", floor, low, "s")
    masks = [graph(image)[0].numpy() for graph in graphs[:2]]
    difference = np.abs(masks[0] - masks[1]).max()
    print(f"| {size} | largest difference of the two masks | | {difference:.1e} | |", flush=True)


def report_training(size, filters, repeats):
    image = tf.random.normal((1, size, size, 1))
    mask = tf.cast(image > 0, tf.float32)
    steps = [training_step(build(size, method, filters)) for method in ("plain", "auto")]
    plain, low = medians([lambda s=step: s(image, mask) for step in steps], repeats)
    show(size, "training step, float32", plain, low, "s")


def report_xla(size, filters, repeats):
    """Why `SegmentationModel.compile` leaves XLA off on a CPU."""
    image = tf.random.normal((1, size, size, 1))
    mask = tf.cast(image > 0, tf.float32)
    steps = [training_step(build(size, "auto", filters), jit) for jit in (False, True)]
    off, on = medians([lambda s=step: s(image, mask) for step in steps], repeats)
    show(size, "training step, XLA off against on", off, on, "s")


def report_memory(size, filters, repeats):
    plain, low = (peak_memory(size, method, filters) for method in ("plain", "auto"))
    if plain is None or low is None:
        for name, peak in (("plain", plain), ("ours", low)):
            fits = "too large here" if peak is None else f"{peak['step'] / 2**30:.3f} GiB"
            print(f"| {size} | peak memory of a training step at batch 2, {name} | {fits} | | |")
        return
    for key, name in (
        ("step", "peak memory of a training step at batch 2"),
        ("process", "the same, of the whole process"),
    ):
        show(size, name, plain[key] / 2**30, low[key] / 2**30, "GiB")


PARTS = {
    "forward": report_forward,
    "training": report_training,
    "memory": report_memory,
    "xla": report_xla,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[320])
    parser.add_argument("--filters", type=int, default=64, help="channels of the first stage")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a quarter of the width, two repeats")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS)[:3])
    parser.add_argument("--memory", metavar="METHOD", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        measure_memory(options.sizes[0], options.memory, options.filters)
        return
    filters, repeats = (16, 2) if options.quick else (options.filters, options.repeats)
    print("| size | what | baseline | ours | ours / baseline |\n|---|---|---|---|---|")
    for size in options.sizes:
        for part in options.only:
            PARTS[part](size, filters, repeats)
            keras.backend.clear_session()


if __name__ == "__main__":
    main()
