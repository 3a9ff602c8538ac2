"""Cost of the losses, forward and backward, against TensorFlow's multi-scale SSIM.

    python benchmarks/losses.py [--size 320] [--images 2] [--repeats 20]

Each candidate is a graph that computes the gradient with respect to the prediction. They take
turns, and the table gives medians per image and their ratio to `tf.image.ssim_multiscale`, which
needs images of at least 161 x 161 pixels.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from keras_unet3p import losses

REFERENCE = "tf.image.ssim_multiscale"


def candidates() -> dict[str, Callable]:
    ours = {
        loss.name: loss
        for loss in (
            losses.MSSSIM(),
            losses.HybridLoss(),
            losses.WeightedCrossEntropy(),
            losses.Focal(),
            losses.IoU(),
            losses.Dice(),
            losses.Tversky(),
            losses.ClDice(),
        )
    }

    def of_tensorflow(mask, prediction):
        return 1.0 - tf.reduce_mean(tf.image.ssim_multiscale(mask, prediction, max_val=1.0))

    return {REFERENCE: of_tensorflow, **ours}


def gradient_of(loss: Callable) -> Callable:
    @tf.function
    def gradient(mask, prediction):
        with tf.GradientTape() as tape:
            tape.watch(prediction)
            value = loss(mask, prediction)
        return tape.gradient(value, prediction)

    return gradient


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    shape = (options.images, options.size, options.size, 1)
    mask = (tf.nn.avg_pool2d(rng.normal(size=shape), 9, 1, "SAME").numpy() > 0).astype(np.float32)
    prediction = np.clip(0.2 + 0.6 * mask + 0.2 * rng.normal(size=shape), 0.01, 0.99)
    inputs = tf.constant(mask), tf.constant(prediction, tf.float32)

    gradients = {name: gradient_of(loss) for name, loss in candidates().items()}
    times: dict[str, list[float]] = {name: [] for name in gradients}
    for turn in range(options.repeats + 1):
        for name, gradient in gradients.items():
            start = time.perf_counter()
            gradient(*inputs).numpy()
            if turn:  # The first call traces.
                times[name].append((time.perf_counter() - start) / options.images)
    reference = statistics.median(times[REFERENCE])
    print(f"{options.size}x{options.size}, ms per image, forward and backward")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:26} {1e3 * median:7.2f} {median / reference:7.2f}x")


if __name__ == "__main__":
    main()
