"""What it costs to make instances of a network's maps, against the network itself.

A 2048 x 2048 image with about 2,000 cells. A U-Net of 24 filters computes maps in tiles of 512;
maps of the generated cells, blurred and noisy, stand for those of a trained network. The network
and both ways of making instances take turns; medians are given, and the ratio to the network's
time. Beside them: how well the cells are found, also by scikit-image's watershed from the same
seeds.

    python benchmarks/instances.py [--side 2048] [--cells 2000] [--filters 24] [--repeats 5]
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from scipy import ndimage
from skimage.measure import label
from skimage.segmentation import watershed

from keras_unet3p.data import generate_cells
from keras_unet3p.metrics import object_scores
from keras_unet3p.models import unet
from keras_unet3p.postprocessing import InstanceRule, in_graph_instances
from keras_unet3p.targets import instance_maps
from keras_unet3p.tiling import predict_image


def maps_like_a_networks(ids: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    maps = instance_maps(ids[np.newaxis]).numpy()[0]
    maps = ndimage.gaussian_filter(maps, (1.0, 1.0, 0.0)) + rng.normal(0.0, 0.04, maps.shape)
    return np.clip(maps, 0, 1).astype(np.float32)


def flooded(maps: np.ndarray, rule: InstanceRule) -> np.ndarray:
    mask = maps[..., 0] >= rule.threshold
    seeds = label(mask & (maps[..., 1] >= rule.seed_threshold), connectivity=1)
    seeds[np.bincount(seeds.ravel())[seeds] < rule.smallest_seed] = 0
    return watershed(-maps[..., 1], seeds, mask=mask)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--filters", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    image, ids = generate_cells(options.side, seed=0, num_cells=options.cells)
    print(f"{options.side} x {options.side}, {len(np.unique(ids)) - 1} cells")
    model = unet(
        (None, None, 1), 2, "sigmoid", filters=options.filters, batch_norm=True, dropout=0.0
    )
    rule = InstanceRule()
    maps = maps_like_a_networks(ids)
    tensor = tf.constant(maps)
    graph = tf.function(lambda maps: in_graph_instances(maps, rule), autograph=False)
    ways = {
        "network": lambda: predict_image(model, image),
        "instances, NumPy": lambda: rule.instances(maps),
        "instances, graph": lambda: graph(tensor).numpy(),
        "watershed, scikit-image": lambda: flooded(maps, rule),
    }
    results = {name: way() for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    network = np.median(seconds["network"])
    for name, found in results.items():
        median = np.median(seconds[name])
        line = f"{name:25} {median:7.3f} s  {median / network:6.3f} of the network"
        if name != "network":
            scores = [object_scores(ids, found, t).average_precision for t in (0.5, 0.9)]
            line += f"   AP {scores[0]:.4f} at IoU 0.5, {scores[1]:.4f} at 0.9"
        print(line)
    same = np.array_equal(results["instances, NumPy"], results["instances, graph"])
    print(f"the graph's ids equal NumPy's: {same}")


if __name__ == "__main__":
    main()
