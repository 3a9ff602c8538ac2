"""Memory of a served graph under images of many sizes, with glibc's allocator and with jemalloc.

    python benchmarks/serving_allocators.py [--images 400] [--threads 4]

For each allocator a process loads the same exported U-Net in session mode, as TensorFlow Serving
does, and segments images of random sizes from several threads. The script prints its memory after
the first image and after all, and the growth as a ratio to that of glibc. The settings of jemalloc
are those of serving/Dockerfile.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

DOCKERFILE = Path(__file__).parents[1] / "serving/Dockerfile"


def memory_mib() -> float:
    """What this process has in memory."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmRSS:\s*(\d+)", status)[0]) / 1024


def serve(version: str, images: int, threads: int) -> None:
    """Prints the memory after the first image and after all."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with v1.Session(graph=tf.Graph()) as session:
        signature = v1.saved_model.load(session, ["serve"], version).signature_def["classes"]
        image, ids = signature.inputs["image"].name, signature.outputs["class_ids"].name

        def segment(size: np.ndarray) -> None:
            session.run(ids, {image: np.zeros((1, *size, 1), np.uint8)})

        segment(np.array([256, 256]))
        first = memory_mib()
        sizes = np.random.default_rng(0).integers(100, 900, (images, 2))
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(segment, sizes))
    print(first, memory_mib())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.images, options.threads)
        return

    import keras_unet3p as ku

    library = next(Path("/usr/lib").glob("*-linux-gnu/libjemalloc.so.2"), None)
    if library is None:
        raise SystemExit("jemalloc is not installed (Debian: libjemalloc2)")
    (settings,) = re.findall(r"^ENV MALLOC_CONF=(\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    allocators = {
        "glibc": {},
        "glibc, two heaps": {"MALLOC_ARENA_MAX": "2"},
        "jemalloc": {"LD_PRELOAD": str(library), "MALLOC_CONF": settings},
    }
    with tempfile.TemporaryDirectory() as folder:
        model = ku.models.unet((None, None, 1), num_classes=1, filters=16, depth=4)
        ku.export.export_savedmodel(model, f"{folder}/cells", tile_size=256)
        command = [sys.executable, __file__, "--serve", f"{folder}/cells/1"]
        command += ["--images", str(options.images), "--threads", str(options.threads)]
        baseline = None
        print("| allocator | first image, MiB | all images, MiB | growth | ratio |")
        print("| --- | --- | --- | --- | --- |")
        for name, variables in allocators.items():
            environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | variables
            ran = subprocess.run(command, env=environment, capture_output=True, check=True)
            first, last = map(float, ran.stdout.split())
            baseline = baseline or last - first
            ratio = (last - first) / baseline
            print(f"| {name} | {first:.0f} | {last:.0f} | {last - first:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
