"""Bilinear upsampling and 3x3 convolution: at full resolution against low resolution.

The two methods take turns. The script prints how many times faster the low-resolution method is
(medians), and which of the two `layers.UpsampleConv2D` chooses.

    python benchmarks/upsample_conv2d.py [--dtype bfloat16] [--repeats 7] [--more]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from keras_unet3p.layers.upsample_convolution import (
    convolve_then_upsample,
    low_resolution_pays,
    upsample_then_convolve,
)

# Low-resolution height = width, channels in, channels out, factor.
UNET3PLUS = [(20, 1024, 64, 16), (40, 320, 64, 8), (80, 320, 64, 4), (160, 320, 64, 2)]
MORE = [
    (160 // factor, channels, filters, factor)
    for factor in (2, 4, 8, 16)
    for filters in (8, 32, 64)
    for channels in (4, 8, 16, 32, 64)
]


def step(way, factor):
    def gradients(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch((x, kernel))
            loss = tf.reduce_sum(tf.square(tf.cast(way(x, kernel, None, factor), tf.float32)))
        return tape.gradient(loss, (x, kernel))

    return gradients


def medians(functions, arguments, repeats):
    for function in functions:
        function(*arguments)
        function(*arguments)
    times = [[] for _ in functions]
    for _ in range(repeats):
        for function, measured in zip(functions, times, strict=True):
            start = time.perf_counter()
            function(*arguments)
            measured.append(time.perf_counter() - start)
    return [statistics.median(measured) for measured in times]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--more", action="store_true", help="also small numbers of channels")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    print(
        "| map | channels | factor | forward, plain / low-res | ms | ms "
        "| forward + backward, plain / low-res | ms | ms | chosen |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for size, channels, filters, factor in UNET3PLUS + (MORE if options.more else []):
        x = tf.constant(rng.normal(size=(1, size, size, channels)), options.dtype)
        kernel = rng.normal(size=(3, 3, channels, filters)) / np.sqrt(9 * channels)
        kernel = tf.constant(kernel, options.dtype)
        ways = (upsample_then_convolve, convolve_then_upsample)
        forward = [tf.function(lambda x, k, w=way, f=factor: w(x, k, None, f)) for way in ways]
        backward = [tf.function(step(way, factor)) for way in ways]
        a, b = medians(forward, (x, kernel), options.repeats)
        c, d = medians(backward, (x, kernel), options.repeats)
        chosen = "low-res" if low_resolution_pays(channels, factor) else "plain"
        print(
            f"| {size}x{size} | {channels} -> {filters} | {factor} | {a / b:.2f} "
            f"| {a * 1e3:.2f} | {b * 1e3:.2f} | {c / d:.2f} | {c * 1e3:.2f} | {d * 1e3:.2f} "
            f"| {chosen} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
