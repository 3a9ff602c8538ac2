"""Sends one image from many clients to an endpoint and reports latencies and errors.

    python serving/load_test.py http://localhost:8501 --model cells --image cells.png
    python serving/load_test.py grpc://localhost:8500 --model cells --clients 64 --seconds 120

It works with TensorFlow Serving and with the local endpoint. Every answer is compared with the
first one. A request that a busy server refuses counts as refused and is not repeated, unless
--retries is given. The exit code is 1 if an answer was wrong or missing. The key that a proxy asks
for is taken from UNET3P_API_KEY, as the commands of `unet3p` do.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from keras_unet3p.client import Client, EndpointError, access_of_environment


def load(
    url: str, model: str | None, image: bytes, clients: int, seconds: float, retries: int = 0
) -> dict:
    """Sends `image` from `clients` threads for `seconds`.

    Returns:
        Counts of "right", "wrong", "refused" and "failed" requests, the reasons of the failures,
        requests per second, and the latencies of the right ones in milliseconds.
    """
    access = access_of_environment(url)
    with Client(url, model, **access) as client:
        expected = client.predict_bytes(image)
    latencies: list[float] = []
    counts: collections.Counter = collections.Counter()
    reasons: collections.Counter = collections.Counter()
    lock = threading.Lock()
    begin = time.monotonic()

    def run() -> None:
        own: list[float] = []
        with Client(url, model, retries=retries, **access) as client:
            while (start := time.monotonic()) < begin + seconds:
                try:
                    answer = client.predict_bytes(image)
                except EndpointError as error:
                    busy = error.code in ("RESOURCE_EXHAUSTED", "UNAVAILABLE")
                    with lock:
                        counts["refused" if busy else "failed"] += 1
                        reasons[str(error)[:120]] += 1
                    # Without this pause, a client that is refused at once would become a busy loop.
                    time.sleep(0.01)
                    continue
                own.append(1000 * (time.monotonic() - start))
                with lock:
                    counts["right" if answer == expected else "wrong"] += 1
        with lock:
            latencies.extend(own)

    with ThreadPoolExecutor(clients) as pool:
        for future in [pool.submit(run) for _ in range(clients)]:
            future.result()
    elapsed = time.monotonic() - begin
    quantiles = np.percentile(latencies, [50, 90, 95, 99, 100]) if latencies else [float("nan")] * 5
    return {
        **{key: counts[key] for key in ("right", "wrong", "refused", "failed")},
        "reasons": dict(reasons.most_common(5)),
        "per_second": round(counts["right"] / elapsed, 2),
        "latency_ms": {
            name: round(float(value), 1)
            for name, value in zip(("p50", "p90", "p95", "p99", "max"), quantiles, strict=True)
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("url", help="http://host:port or grpc://host:port")
    parser.add_argument("--model", help="the model's name")
    parser.add_argument("--image", help="PNG or JPEG file; by default noise of --size")
    parser.add_argument("--size", type=int, default=512, help="height and width of the noise")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--retries", type=int, default=0)
    options = parser.parse_args()
    if options.image:
        with open(options.image, "rb") as file:
            image = file.read()
    else:
        noise = np.random.default_rng(0).integers(0, 256, (options.size,) * 2, np.uint8)
        image = cv2.imencode(".png", cv2.GaussianBlur(noise, (0, 0), 4))[1].tobytes()
    result = load(
        options.url, options.model, image, options.clients, options.seconds, options.retries
    )
    print(json.dumps(result, indent=2))
    sys.exit(bool(result["wrong"] or result["failed"] or not result["right"]))


if __name__ == "__main__":
    main()
