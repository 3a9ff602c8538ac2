"""Sends malformed requests to the local endpoint and reports the answers.

    python benchmarks/endpoint_fuzz.py [--requests 10000] [--seed 0]

The endpoint runs in a separate process and serves a small exported U-Net. Eight threads send
malformed requests to its REST and gRPC ports. After every twentieth one they send a valid request
and compare the answer. At the end the script prints the kinds of answers, wrong answers to valid
requests, server faults (5xx or INTERNAL), and memory, threads and open files of the process before
and after.
"""

from __future__ import annotations

import argparse
import base64
import collections
import contextlib
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import grpc
import numpy as np

from keras_unet3p.client import Client, EndpointError, messages

SERVER = """
import sys
from keras_unet3p.endpoint import LocalServer, serve
serve(LocalServer({"cells": sys.argv[1]}),
      on_ready=lambda server: print(server.url, server.grpc_address, flush=True))
"""


class Malformed:
    """Makes malformed requests, reproducible from a seed. Each has a function `send`.

    `send` returns how the endpoint answered: an HTTP status or gRPC code as text, "closed", or
    "FAULT: ..." for what an endpoint must never do.
    """

    def __init__(self, url: str, grpc_address: str, seed: int):
        self.random = random.Random(seed)
        host, port = url.removeprefix("http://").split(":")
        self.rest = host, int(port)
        host, port = grpc_address.split(":")
        self.grpc = host, int(port)
        self.channel = grpc.insecure_channel(
            grpc_address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        noise = np.random.default_rng(seed).integers(0, 256, (40, 40), np.uint8)
        self.images = [
            cv2.imencode(kind, noise)[1].tobytes() for kind in (".png", ".jpg", ".bmp", ".tiff")
        ]
        self.kinds: list[Callable[[], str]] = [
            self.random_bytes,
            self.broken_http,
            self.cut_connection,
            self.broken_json,
            self.wrong_json,
            self.wrong_arrays,
            self.broken_image,
            self.broken_image,
            self.huge_image,
            self.wrong_path,
            self.grpc_bytes,
            self.grpc_tensor,
            self.grpc_image,
            self.grpc_noise,
        ]

    def send(self) -> str:
        """Sends one malformed request."""
        kind = self.random.choice(self.kinds)
        return f"{kind.__name__}: {kind()}"

    # The pieces ---------------------------------------------------------------------------------

    def some_bytes(self, most: int) -> bytes:
        return self.random.randbytes(self.random.randrange(most))

    def mutated(self, data: bytes) -> bytes:
        data = bytearray(data)
        for _ in range(self.random.randint(1, 4)):
            position = self.random.randrange(len(data) + 1)
            action = self.random.randrange(4)
            if action == 0:
                del data[position:]
            elif action == 1:
                data[position:position] = self.some_bytes(8)
            elif action == 2:
                del data[position : position + self.random.randint(1, 9)]
            elif position < len(data):
                data[position] ^= 1 << self.random.randrange(8)
        return bytes(data)

    def some_value(self, depth: int = 0):
        choice = self.random.randrange(12 if depth < 4 else 9)
        if choice >= 9:
            kind = [list, dict][self.random.randrange(2)]
            items = [self.some_value(depth + 1) for _ in range(self.random.randrange(4))]
            keys = ["image", "image_bytes", "b64", "tile", "x"]
            return items if kind is list else {self.random.choice(keys): item for item in items}
        return [
            None,
            True,
            -1,
            2**70,
            1e400,
            float("nan"),
            "text",
            {"b64": "????"},
            0.5,
        ][choice]

    def exchange(self, address, data: bytes, cut: bool = False) -> str:
        """Sends raw bytes; returns the status of what comes back."""
        try:
            with socket.create_connection(address, timeout=20) as connection:
                if cut and self.random.random() < 0.5:
                    # Reset instead of an orderly end.
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                connection.sendall(data)
                if cut:
                    return "cut"
                connection.shutdown(socket.SHUT_WR)
                received = b""
                while len(received) < 1 << 16 and (part := connection.recv(1 << 16)):
                    received += part
        except (ConnectionError, BrokenPipeError):
            return "closed"
        except TimeoutError:
            return "FAULT: no answer in 20 s"
        if not received.startswith(b"HTTP/1.1 "):
            return "closed" if address == self.rest and not received else "other"
        status = received[9:12].decode("latin-1")
        if status.startswith("5") and status not in ("501", "503", "504"):
            return f"FAULT: {received[:300]!r}"
        return status

    def post(self, body: bytes, path: str = "/v1/models/cells:predict") -> str:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            with socket.create_connection(self.rest, timeout=20) as connection:
                connection.sendall(head.encode("latin-1", "replace") + body)
                received = b""
                while part := connection.recv(1 << 16):
                    received += part
        except ConnectionError:
            return "closed"
        except TimeoutError:
            return "FAULT: no answer in 20 s"
        header, _, content = received.partition(b"\r\n\r\n")
        status = header[9:12].decode("latin-1")
        if status.startswith("5") and status not in ("501", "503", "504"):
            return f"FAULT: {received[:300]!r}"
        refused = status.startswith("4") and b"application/json" in header
        if refused and list(json.loads(content)) != ["error"]:
            return f"FAULT: no error body: {content[:200]!r}"
        return status

    def call(self, data: bytes, method: str = "PredictionService/Predict") -> str:
        stub = self.channel.unary_unary(f"/tensorflow.serving.{method}")
        try:
            stub(data, timeout=20)
        except grpc.RpcError as error:
            code = error.code().name
            # TensorFlow Serving's code for bytes that are no message.
            if (code, error.details()) == ("INTERNAL", "The request does not parse."):
                return code
            if code in ("INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED"):
                return f"FAULT: {code} {error.details()}"
            return code
        return "OK"

    # The kinds ----------------------------------------------------------------------------------

    def random_bytes(self) -> str:
        return self.exchange(self.rest, self.some_bytes(2000) + b"\r\n\r\n")

    def broken_http(self) -> str:
        request = (
            b"POST /v1/models/cells:predict HTTP/1.1\r\nHost: localhost\r\n"
            + self.random.choice(
                [
                    b"Content-Length: 99999999999999999999\r\n",
                    b"Content-Length: -1\r\n",
                    b"Content-Length: 999999999\r\n",
                    b"Content-Length: 3\r\nContent-Length: 4\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                    b"Transfer-Encoding: gzip, chunked\r\n",
                    b"Content-Encoding: gzip\r\nContent-Length: 5\r\n",
                    b"X: " + b"y" * 100_000 + b"\r\n",
                    b"Expect: 100-continue\r\nContent-Length: 5\r\n",
                    b"Upgrade: websocket\r\nConnection: upgrade\r\n",
                    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                    b"Origin: http://elsewhere\r\nContent-Length: 5\r\n",
                ]
            )
            + b"\r\n"
            + self.some_bytes(50)
        )
        if self.random.random() < 0.5:
            request = self.mutated(request)
        return self.exchange(self.rest, request)

    def cut_connection(self) -> str:
        body = json.dumps({"instances": [self.encoded(self.random.choice(self.images))]}).encode()
        head = (
            b"POST /v1/models/cells:predict HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        data = head + body
        return self.exchange(self.rest, data[: self.random.randrange(len(data) + 1)], cut=True)

    def broken_json(self) -> str:
        body = json.dumps(
            {
                "signature_name": "classes",
                "instances": [[[[self.random.randrange(256)] for _ in range(5)] for _ in range(5)]],
            }
        ).encode()
        choice = self.random.randrange(4)
        if choice == 0:
            return self.post(b'{"inputs":' + b"[" * self.random.choice([10, 1000, 100_000]))
        if choice == 1:
            return self.post(self.some_bytes(300))
        return self.post(self.mutated(body))

    def wrong_json(self) -> str:
        keys = ["instances", "inputs", "signature_name", "other"]
        body = {key: self.some_value() for key in keys if self.random.random() < 0.5}
        if self.random.random() < 0.7:
            names = ["classes", "tile", "probabilities", "serving_default", "nix"]
            body["signature_name"] = self.random.choice(names)
        return self.post(json.dumps(body).encode())

    def wrong_arrays(self) -> str:
        signature, key = self.random.choice(
            [("classes", "image"), ("probabilities", "image"), ("tile", "tile")]
        )
        shape = [self.random.randrange(4) for _ in range(self.random.randrange(7))]
        value = np.full(shape, self.random.choice([0, 0.5, 300, -1, 7])).tolist()
        form = self.random.choice(["instances", "inputs"])
        body = {"signature_name": signature, form: self.random.choice([value, {key: value}])}
        return self.post(json.dumps(body).encode())

    def encoded(self, data: bytes) -> dict:
        return {"b64": base64.b64encode(data).decode()}

    def some_broken_image(self) -> bytes:
        image = self.random.choice(self.images)
        if self.random.random() < 0.3:
            return image[: self.random.randrange(len(image))]
        return self.mutated(image)

    def broken_image(self) -> str:
        return self.post(
            json.dumps({"instances": [self.encoded(self.some_broken_image())]}).encode()
        )

    def some_huge_image(self) -> bytes:
        side = self.random.choice([20_000, 70_000, 2**31 - 1, 2**32 - 1])
        kind = self.random.randrange(4)
        if kind == 0:
            header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
            chunk = b"IHDR" + header
            packed = zlib.compress(b"\0" * 100_000)
            data = b"IDAT" + packed
            return (
                b"\x89PNG\r\n\x1a\n"
                + struct.pack(">I", 13)
                + chunk
                + struct.pack(">I", zlib.crc32(chunk))
                + struct.pack(">I", len(packed))
                + data
                + struct.pack(">I", zlib.crc32(data))
            )
        if kind == 1:
            jpeg = bytearray(self.images[1])
            frame = jpeg.find(b"\xff\xc0")
            jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65535, 65535)
            return bytes(jpeg)
        if kind == 2:
            bmp = bytearray(self.images[2])
            bmp[18:26] = struct.pack("<ii", side & 0x7FFFFFFF, self.random.choice([-1, 1]) * 10**9)
            return bytes(bmp)
        return b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0xF7, 0, 0) + self.some_bytes(900)

    def huge_image(self) -> str:
        return self.post(json.dumps({"instances": [self.encoded(self.some_huge_image())]}).encode())

    def wrong_path(self) -> str:
        path = self.random.choice(
            [
                "/v1/models/cells/versions/99:predict",
                "/v1/models/cells/labels/x:predict",
                "/v1/models/cells/versions/1/labels/x:predict",
                "/v1/models/%00:predict",
                "/v1/models/%ff%fe:predict",
                "/v1/models/cells/../cells:predict",
                "/v1/models//versions/:predict",
                "/v1/models/" + "x" * 5000 + ":predict",
                "/v1/models/cells:" + self.some_bytes(20).hex(),
                "//",
                "/health",
            ]
        )
        return self.post(b"{}", path)

    def request(self, signature: str, **tensors) -> bytes:
        request = messages.new("PredictRequest")
        request.model_spec.name = "cells"
        request.model_spec.signature_name = signature
        for name, tensor in tensors.items():
            request.inputs[name].CopyFrom(tensor)
        return request.SerializeToString()

    def grpc_bytes(self) -> str:
        tensor = messages.new("TensorProto", dtype=4, tensor_content=bytes(25))
        for size in (1, 5, 5, 1):
            tensor.tensor_shape.dim.add(size=size)
        data = self.some_bytes(200)
        if self.random.random() < 0.7:
            data = self.mutated(self.request("classes", image=tensor))
        method = self.random.choice(
            [
                "PredictionService/Predict",
                "PredictionService/Predict",
                "PredictionService/GetModelMetadata",
                "ModelService/GetModelStatus",
                "PredictionService/Nothing",
            ]
        )
        return self.call(data, method)

    def grpc_tensor(self) -> str:
        tensor = messages.new("TensorProto", dtype=self.random.choice([1, 4, 7, 10, 20, 21, 99]))
        for _ in range(self.random.randrange(7)):
            tensor.tensor_shape.dim.add(size=self.random.choice([-1, 0, 1, 2, 64, 2**20, 2**62]))
        choice = self.random.randrange(4)
        if choice == 0:
            tensor.tensor_content = self.some_bytes(100)
        elif choice == 1:
            tensor.float_val.extend([0.5] * self.random.randrange(5))
        elif choice == 2:
            tensor.string_val.extend([b"x"] * self.random.randrange(5))
        signature = self.random.choice(["classes", "tile", "serving_default", "nix"])
        name = self.random.choice(["image", "tile", "image_bytes", "x"])
        return self.call(self.request(signature, **{name: tensor}))

    def grpc_image(self) -> str:
        image = self.some_huge_image() if self.random.random() < 0.3 else self.some_broken_image()
        tensor = messages.new("TensorProto", dtype=7, string_val=[image])
        tensor.tensor_shape.dim.add(size=1)
        return self.call(self.request("serving_default", image_bytes=tensor))

    def grpc_noise(self) -> str:
        start = self.random.choice([b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
        return self.exchange(self.grpc, start + self.some_bytes(500), cut=True)


def fuzz(
    url: str, grpc_address: str, requests: int, *, seed: int = 0, threads: int = 8
) -> tuple[collections.Counter, list[str]]:
    """Sends `requests` malformed requests and a twentieth as many valid ones.

    Returns:
        The number of answers of each sort per kind of request, and a list of faults, which should
        be empty.
    """
    image = np.random.default_rng(seed).integers(0, 256, (61, 83), np.uint8)
    with Client(url, "cells") as client:
        expected = client.predict(image)
    counts: collections.Counter = collections.Counter()
    faults: list[str] = []
    lock = threading.Lock()

    def run(number: int) -> None:
        malformed = Malformed(url, grpc_address, seed * 1000 + number)
        address = url if number % 2 else f"grpc://{grpc_address}"
        with Client(address, "cells") as client, contextlib.closing(malformed.channel):
            for turn in range(requests // threads + (number < requests % threads)):
                answer = malformed.send()
                wrong = None
                if turn % 20 == 0:
                    try:
                        if not np.array_equal(client.predict(image), expected):
                            wrong = "valid request: WRONG ANSWER"
                    except EndpointError as error:
                        wrong = f"valid request: {error}"
                with lock:
                    counts[answer.split(" b'")[0][:60]] += 1
                    if turn % 20 == 0:
                        counts["valid request: right"] += wrong is None
                    if "FAULT" in answer:
                        faults.append(answer)
                    if wrong:
                        faults.append(wrong)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(threads)))
    return counts, faults


def usage(pid: int) -> dict[str, float]:
    """Memory in MiB, threads and open files of a process."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return {
        "memory_mib": round(int(fields["VmRSS"].split()[0]) / 1024, 1),
        "threads": int(fields["Threads"]),
        "files": len(os.listdir(f"/proc/{pid}/fd")),
    }


def export_unet(folder: Path) -> None:
    """Exports a small U-Net into `folder`, in a separate process."""
    code = """
import sys
from keras_unet3p import export, models
model = models.unet(input_shape=(None, None, 1), filters=(8, 16, 32), padding="same")
export.export_savedmodel(model, sys.argv[1], tile_size=64, max_pixels=2**22)
"""
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "cells"
        export_unet(folder)
        command = [sys.executable, "-c", SERVER, str(folder)]
        # The decoders of TensorFlow complain about every broken image on stderr.
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server:
            url, grpc_address = server.stdout.readline().split()
            # What the first requests allocate stays, so it comes before the measurement.
            fuzz(url, grpc_address, max(200, options.requests // 10), seed=options.seed + 1)
            time.sleep(2)
            before, begin = usage(server.pid), time.monotonic()
            counts, faults = fuzz(url, grpc_address, options.requests, seed=options.seed)
            seconds = time.monotonic() - begin
            time.sleep(2)
            after = usage(server.pid)
            server.send_signal(signal.SIGTERM)
            code = server.wait(60)
    for answer, count in sorted(counts.items()):
        print(f"{count:6d}  {answer}")
    print(f"{options.requests} malformed requests in {seconds:.1f} s, {len(faults)} faults")
    for fault in faults[:20]:
        print("  ", fault)
    print("before:", before)
    print("after: ", after)
    print(f"exit code of the server after SIGTERM: {code}")
    sys.exit(bool(faults) or code != 0)


if __name__ == "__main__":
    main()
