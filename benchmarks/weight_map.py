"""Speed of the border weight map against one full-image distance transform per cell.

    python benchmarks/weight_map.py

Both run in one process with one thread each and take turns. The table gives medians. The baseline
is the usual recipe: `scipy.ndimage.distance_transform_edt` over the whole image for every cell, and
the two smallest distances per pixel. The recipe keeps and sorts all distances, which needs more
memory and time. The baseline here does not, so that the larger image fits into memory.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time

import cv2
import numpy as np
from scipy import ndimage

from keras_unet3p.data import border_weight_map


def scattered_cells(size: int, count: int, seed: int = 0) -> np.ndarray:
    """A square image with elliptic cells of the size of nuclei, some of which touch."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((size, size), np.int32)
    for cell in range(1, count + 1):
        while True:
            axes = tuple(int(axis) for axis in rng.integers(8, 18, 2))
            centre = tuple(int(place) for place in rng.integers(0, size, 2))
            canvas = np.zeros_like(labels, np.uint8)
            cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
            drawn = canvas > 0
            if np.count_nonzero(drawn & (labels == 0)) > 0.8 * np.count_nonzero(drawn):
                labels[drawn & (labels == 0)] = cell
                break
    return labels


def full_image_weight_map(labels: np.ndarray, w0: float = 10.0, sigma: float = 5.0) -> np.ndarray:
    nearest = np.full(labels.shape, np.inf)
    second = np.full(labels.shape, np.inf)
    cells = np.unique(labels[labels > 0])
    for cell in cells:
        distance = ndimage.distance_transform_edt(labels != cell)
        np.minimum(second, np.maximum(nearest, distance), out=second)
        np.minimum(nearest, distance, out=nearest)
    balance = np.where(labels > 0, np.mean(labels > 0), np.mean(labels == 0))
    return 0.5 / balance + w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))


def seconds(function, *arguments) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="runs of the baseline")
    runs = parser.parse_args().runs
    cv2.setNumThreads(1)
    names = ("image", "cells", "SciPy, full image", "ours", "ratio", "error")
    print("{:>11} {:>6} {:>18} {:>9} {:>6} {:>8}".format(*names))
    for size, count in ((512, 60), (1024, 500)):
        labels = scattered_cells(size, count)
        slow, fast, error = [], [], math.inf
        for _ in range(runs):
            elapsed, expected = seconds(full_image_weight_map, labels)
            slow.append(elapsed)
            for _ in range(10):
                elapsed, found = seconds(border_weight_map, labels)
                fast.append(elapsed)
            error = float(np.abs(found - expected).max())
        baseline, ours = statistics.median(slow), statistics.median(fast)
        print(
            f"{size:>5}x{size:<5} {count:>6} {1e3 * baseline:>15.0f} ms {1e3 * ours:>6.1f} ms "
            f"{baseline / ours:>5.0f}x {error:>8.1e}"
        )


if __name__ == "__main__":
    main()
