"""One image through an exported model, in a process of its own: `capacity` starts it.

python -m keras_unet3p.workflow.needs_probe VERSION_FOLDER SIDE REPEATS
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from keras_unet3p import data
from keras_unet3p.artifacts import ModelCard
from keras_unet3p.client.sent_images import encode_image

_CELLS = 512  # pixels a side of the cells that the image is made of


def probe(version: Path, side: int, repeats: int) -> dict[str, float]:
    """Seconds to load, for the first answer and for the median further one, and memory in MB.

    Args:
        version: the version folder.
        side: of a square image of cells, pixels.
        repeats: of the request after the first one.

    Example:
        >>> probe(Path("models/cells/1"), 512, 3)  # doctest: +SKIP
        {'load': 0.6, 'first': 0.4, 'seconds': 0.2, 'idle_mb': 420.0, 'peak_mb': 510.0}
    """
    import tensorflow as tf

    from keras_unet3p.tiling.exported_model import load_exported_model

    card = ModelCard.of_version(version)
    channels = 1 if card is None else card.input_channels
    cells, _ = data.generate_cells(_CELLS, seed=0)
    repeated = -(-side // _CELLS)
    image = np.tile(cells, (repeated, repeated))[:side, :side, np.newaxis]
    encoded = tf.constant([encode_image(np.repeat(image, channels, axis=-1))])
    began = time.perf_counter()
    loaded = load_exported_model(version)
    load = time.perf_counter() - began
    signatures = loaded.signatures
    name = "instances_of_bytes" if "instances_of_bytes" in signatures else "serving_default"
    idle = _memory("VmRSS")
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        signatures[name](image_bytes=encoded)
        seconds.append(time.perf_counter() - began)
    return {
        "load": load,
        "first": seconds[0],
        "seconds": statistics.median(seconds[1:]),
        "idle_mb": idle,
        "peak_mb": _memory("VmHWM"),
    }


def _memory(name: str) -> float:
    """Of this process, MB; `VmHWM` is the most so far."""
    with open("/proc/self/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1e3


if __name__ == "__main__":
    folder, side, repeats = sys.argv[1:]
    print(json.dumps(probe(Path(folder), int(side), int(repeats))))
