"""Time per pixel and memory of the streaming predictor as the image grows.

Each size runs in a separate process, with image and mask on disk as memory maps. With --kill the
largest run is killed (SIGKILL) that many times and continued, and its mask is compared with that of
an undisturbed run.

    python benchmarks/tiling_streaming.py [--sides 2000 20000] [--kill 3]
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from keras_unet3p.tiling import StreamingPredictor

TILE, HALO = 512, 32


def generate(path, side):
    """Writes smooth blobs and noise, one band of lines after another."""
    image = np.lib.format.open_memmap(path, "w+", np.uint8, (side, side))
    columns = np.sin(np.arange(side) / 17.0) + np.sin(np.arange(side) / 71.0)
    for top in range(0, side, 500):
        rows = np.arange(top, min(top + 500, side))
        wave = np.sin(rows / 23.0)[:, np.newaxis] + columns
        noise = np.random.default_rng(top).normal(0, 0.3, wave.shape)
        image[top : top + 500] = np.clip(128 + 40 * (wave + noise), 0, 255)
    image.flush()


def network():
    import keras

    keras.utils.set_random_seed(0)
    image = x = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(x)
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = keras.layers.UpSampling2D(interpolation="bilinear")(x)
    return keras.Model(image, keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x))


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def run(image, mask):
    predictor = StreamingPredictor(network(), tile_size=TILE, halo=HALO, threshold=0.5)
    predictor.predict(np.zeros((600, 600), np.uint8), progress=False)
    before, peak = resident(), 0

    def progress(done, total):
        nonlocal peak
        peak = max(peak, resident())
        print(done, total, flush=True)

    pixels, seconds = np.load(image, mmap_mode="r"), []
    while not seconds or sum(seconds) < 5:
        start = time.perf_counter()
        predictor.predict(pixels, mask, progress=progress)
        seconds.append(time.perf_counter() - start)
    print("result", statistics.median(seconds), (peak - before) / 1e6, flush=True)


def measure(folder, side):
    image, mask = folder / f"{side}.npy", folder / f"{side}_mask.npy"
    generate(image, side)
    done = subprocess.run(
        [sys.executable, __file__, "--run", image, mask],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, growth = map(float, done.stdout.splitlines()[-1].split()[1:])
    per_pixel = seconds / side**2 * 1e6
    print(f"{side}x{side}: {seconds:.1f} s, {per_pixel:.3f} s/megapixel, growth {growth:.0f} MB")
    return per_pixel


def kill_and_continue(folder, side, kills):
    image, mask = folder / f"{side}.npy", folder / "killed.npy"
    starts = []
    for attempt in range(kills + 1):
        process = subprocess.Popen(
            [sys.executable, __file__, "--run", image, mask], stdout=subprocess.PIPE, text=True
        )
        for line in process.stdout:
            if line.startswith("result"):
                break
            done, total = map(int, line.split())
            if len(starts) == attempt:
                starts.append(done)
            if attempt < kills and done > total * (attempt + 1) / (kills + 1):
                process.send_signal(signal.SIGKILL)
                break
        process.stdout.close()
        process.wait()
    same = np.array_equal(
        np.load(mask, mmap_mode="r"), np.load(folder / f"{side}_mask.npy", mmap_mode="r")
    )
    print(f"killed {kills} times, began at tiles {starts} of {total}; mask is the same: {same}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[2000, 20000])
    parser.add_argument("--kill", type=int, default=0)
    parser.add_argument("--run", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if arguments.run:
        run(*arguments.run)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        times = [measure(folder, side) for side in arguments.sides]
        print(f"time per pixel, largest to smallest: {times[-1] / times[0]:.3f}")
        if arguments.kill:
            kill_and_continue(folder, arguments.sides[-1], arguments.kill)


if __name__ == "__main__":
    main()
