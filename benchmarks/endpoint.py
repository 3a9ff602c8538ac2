"""Throughput of the local endpoint under load, against calling the model directly.

    python benchmarks/endpoint.py [--clients 32] [--seconds 60] [--size 256]

A U-Net is exported. In turns of five seconds, `clients` threads call its session directly (with as
many runs at a time as the endpoint has workers), and `clients` clients send the same PNG images
over REST or gRPC to the endpoint. The endpoint and the clients run in separate processes. Every
answer is compared with the right one. The script prints images per second of the three and their
ratios, wrong and lost answers, and the latency of /health under this load.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import requests

from keras_unet3p.client import Client, EndpointError

EXPORT = """
import sys
from keras_unet3p import export, models
model = models.unet(input_shape=(None, None, 1), filters=(16, 32, 64, 128), padding="same")
export.export_savedmodel(model, sys.argv[1], tile_size=int(sys.argv[2]))
"""
SERVER = """
import sys
from keras_unet3p.endpoint import LocalServer, serve
serve(LocalServer({"cells": sys.argv[1]}, workers=int(sys.argv[2])),
      on_ready=lambda server: print(server.url, server.grpc_address, flush=True))
"""
# Reads the number of seconds from one line per turn. Runs as many calls at a time as the endpoint.
DIRECT = """
import json, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import tensorflow as tf
folder, workers, clients, files = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
images = [open(file, "rb").read() for file in files]
session = tf.compat.v1.Session(graph=tf.Graph())
with session.graph.as_default():
    signatures = tf.compat.v1.saved_model.load(session, ["serve"], folder).signature_def
signature = signatures["serving_default"]
call = session.make_callable(signature.outputs["mask_bytes"].name,
                             [signature.inputs["image_bytes"].name])
at_once = threading.Semaphore(workers)
def run(number, end):
    count = 0
    while time.monotonic() < end:
        array = np.array([images[(number + count) % len(images)]], object)
        with at_once:
            call(array)
        count += 1
    return count
run(0, time.monotonic() + 1)
print("ready", flush=True)
for line in sys.stdin:
    begin = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        counts = list(pool.map(run, range(clients), [begin + float(line)] * clients))
    print(json.dumps([sum(counts), time.monotonic() - begin]), flush=True)
"""


def send(url: str, images: list[bytes], masks: list[np.ndarray], clients: int, end: float) -> dict:
    """Sends images from `clients` threads until `end`; counts right, wrong and lost answers."""
    totals = {"right": 0, "wrong": 0, "lost": 0}
    lock = threading.Lock()

    def run(number: int) -> None:
        own = {"right": 0, "wrong": 0, "lost": 0}
        count = number
        with Client(url, "cells", timeout=60) as client:
            while time.monotonic() < end:
                index = count % len(images)
                try:
                    mask = client.predict(images[index])
                    own["right" if np.array_equal(mask, masks[index]) else "wrong"] += 1
                except EndpointError:
                    own["lost"] += 1
                count += 1
        with lock:
            for key, value in own.items():
                totals[key] += value

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(run, range(clients)))
    return totals


def load_clients() -> None:
    """Runs as a separate process: reads one JSON line per turn, prints counts and seconds."""
    files = sys.argv[2:]
    images = [Path(file).read_bytes() for file in files]
    masks = [cv2.imread(file + ".mask.png", cv2.IMREAD_UNCHANGED) for file in files]
    print("ready", flush=True)
    for line in sys.stdin:
        url, clients, seconds = json.loads(line)
        begin = time.monotonic()
        counts = send(url, images, masks, clients, begin + seconds)
        print(json.dumps([counts, time.monotonic() - begin]), flush=True)


def ask(process: subprocess.Popen, line: str) -> list:
    """Sends a line to a process and reads its JSON answer."""
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def write_images(folder: Path, size: int) -> list[str]:
    """Writes eight images of smooth noise; returns their paths."""
    files = []
    rng = np.random.default_rng(0)
    for number in range(8):
        noise = rng.integers(0, 256, (size, size), np.uint8)
        files.append(str(folder / f"{number}.png"))
        cv2.imwrite(files[-1], cv2.GaussianBlur(noise, (0, 0), 5))
    return files


@contextlib.contextmanager
def health_latencies(url: str) -> Iterator[list[float]]:
    """Asks /health five times per second meanwhile; gives the list of latencies in seconds."""
    latencies: list[float] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.2):
            begin = time.monotonic()
            requests.get(url + "/health", timeout=30).raise_for_status()
            latencies.append(time.monotonic() - begin)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield latencies
    finally:
        stop.set()
        watcher.join()


def measure(
    direct: subprocess.Popen,
    load: subprocess.Popen,
    addresses: dict[str, str],
    clients: int,
    turns: int,
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Lets the candidates take turns; returns images per second by name, and counts of answers."""
    rates: dict[str, list[float]] = {"direct": [], **{name: [] for name in addresses}}
    totals = {"right": 0, "wrong": 0, "lost": 0}
    for _ in range(turns):
        count, seconds = ask(direct, "5")
        rates["direct"].append(count / seconds)
        for name, address in addresses.items():
            counts, seconds = ask(load, json.dumps([address, clients, 5]))
            rates[name].append(counts["right"] / seconds)
            for key, value in counts.items():
                totals[key] += value
    return rates, totals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60.0, help="of load on each of the three")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "cells"
        command = [sys.executable, "-c", EXPORT, str(folder), str(options.size)]
        subprocess.run(command, check=True)
        files = write_images(Path(temporary), options.size)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        workers, clients = str(options.workers), str(options.clients)
        server = subprocess.Popen([sys.executable, "-c", SERVER, str(folder), workers], **pipes)
        url, grpc_address = server.stdout.readline().split()
        with Client(url, "cells") as client:
            for file in files:
                cv2.imwrite(file + ".mask.png", client.predict(file))
        direct = subprocess.Popen(
            [sys.executable, "-c", DIRECT, str(folder / "1"), workers, clients, *files], **pipes
        )
        load = subprocess.Popen([sys.executable, __file__, "--load", *files], **pipes)
        for process in (direct, load):
            assert process.stdout.readline() == "ready\n"
        addresses = {"REST": url, "gRPC": f"grpc://{grpc_address}"}
        turns = max(1, round(options.seconds / 5))
        with health_latencies(url) as health:
            rates, totals = measure(direct, load, addresses, options.clients, turns)
        for process in (direct, load):
            process.stdin.close()
            process.wait(60)
        server.send_signal(signal.SIGTERM)
        code = server.wait(60)
    print(f"{options.clients} clients, {options.size} x {options.size} PNG images, {turns} turns")
    for name, values in rates.items():
        ratios = [value / base for value, base in zip(values, rates["direct"], strict=True)]
        print(
            f"{name:>6}: median {statistics.median(values):7.2f} images/s, "
            f"{statistics.median(ratios):.3f} of direct"
        )
    print("answers:", totals)
    health.sort()
    print(
        f"/health under load: median {1000 * statistics.median(health):.1f} ms, "
        f"longest {1000 * health[-1]:.1f} ms"
    )
    print(f"exit code of the server after SIGTERM: {code}; processors: {os.cpu_count()}")
    sys.exit(bool(totals["wrong"] or totals["lost"] or code))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--load"]:
        load_clients()
    else:
        main()
