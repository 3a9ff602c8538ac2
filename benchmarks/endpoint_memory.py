"""Memory of the local endpoint over time: images of changing sizes, and new versions.

    python benchmarks/endpoint_memory.py [--seconds 900] [--versions 40] [--seed 0]

The endpoint runs in a separate process and serves a small exported U-Net. For `seconds`, two
clients send images of random sizes, as PNG over REST and as numbers over gRPC. Then `versions`
copies of the model version are published one after another, and each answers some requests. The
script prints the memory of the process during both, and its slope over the second half of each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from endpoint_fuzz import SERVER, export_unet, usage

from keras_unet3p.client import Client


def slope(points: list[tuple[float, float]]) -> float:
    """Growth over the second half of (position, value) points, per unit of position."""
    positions, values = np.array(points[len(points) // 2 :]).T
    return float(np.polyfit(positions, values, 1)[0])


def varied_sizes(pid: int, urls: list[str], seconds: float, seed: int) -> None:
    """Sends images of random sizes from one thread per URL; prints the memory 20 times."""
    end = time.monotonic() + seconds
    counts = [0] * len(urls)

    def run(number: int) -> None:
        rng = np.random.default_rng(seed + number)
        signature = ("serving_default", "classes")[number % 2]
        with Client(urls[number], "cells") as client:
            while time.monotonic() < end:
                image = rng.integers(0, 256, rng.integers(16, 1025, 2), np.uint8)
                assert client.predict(image, signature).shape == image.shape
                counts[number] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(urls))]
    begin, points = time.monotonic(), []
    for thread in threads:
        thread.start()
    for turn in range(20):
        time.sleep(max(0.0, begin + (turn + 1) * seconds / 20 - time.monotonic()))
        points.append((time.monotonic() - begin, usage(pid)["memory_mib"]))
        print(f"{points[-1][0]:6.0f} s {sum(counts):7d} sizes {points[-1][1]:8.1f} MiB", flush=True)
    for thread in threads:
        thread.join()
    print(f"second half: {60 * slope(points):+.2f} MiB per minute")


def new_versions(pid: int, url: str, base: Path, versions: int) -> None:
    """Publishes copies of version 1 one by one; prints the memory after each tenth."""
    points = []
    with Client(url, "cells") as client:
        for version in range(2, versions + 2):
            shutil.copytree(base / "1", base / f".{version}")
            os.rename(base / f".{version}", base / str(version))
            state: dict[int, str] = {}
            while state.get(version) != "AVAILABLE" or state.get(version - 1) != "END":
                time.sleep(0.05)
                state = {item["version"]: item["state"] for item in client.status()}
            for signature in ("serving_default", "classes"):
                client.predict(np.zeros((100, 130), np.uint8), signature)
            points.append((version, usage(pid)["memory_mib"]))
            if version % 10 == 1:
                print(f"{version - 1:4d} new versions {points[-1][1]:8.1f} MiB", flush=True)
    print(f"second half: {slope(points):+.2f} MiB a version")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--versions", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary) / "cells"
        export_unet(base)
        command = [sys.executable, "-c", SERVER, str(base)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            url, grpc_address = server.stdout.readline().split()
            print(f"started: {usage(server.pid)['memory_mib']} MiB")
            if options.seconds:
                urls = [url, f"grpc://{grpc_address}"]
                varied_sizes(server.pid, urls, options.seconds, options.seed)
            if options.versions:
                new_versions(server.pid, url, base, options.versions)
            server.send_signal(signal.SIGTERM)
            code = server.wait(60)
    sys.exit(code != 0)


if __name__ == "__main__":
    main()
