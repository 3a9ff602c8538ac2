"""Versions, limits and shutdown of the local endpoint."""

from __future__ import annotations

import base64
import contextlib
import gc
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import weakref
import zlib
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import requests

from keras_unet3p.client import Client, EndpointError
from keras_unet3p.endpoint import LocalServer, serve

IMAGE = np.full((8, 9), 100, np.uint8)  # below the first version's threshold, above the second's


def wait_for(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def post(server, body, path="cells", **options):
    return requests.post(f"{server.url}/v1/models/{path}:predict", json=body, timeout=30, **options)


def spin(seconds: float) -> dict:
    return {"signature_name": "spin", "inputs": [seconds]}


@pytest.fixture
def base(model_versions, tmp_path):
    """A base folder of its own with the first version, for tests that add others."""
    folder = tmp_path / "cells"
    folder.mkdir()
    shutil.copytree(model_versions[0], folder / "1")
    return folder


def publish(source, base, version: int) -> None:
    shutil.copytree(source, base / f".new{version}")
    os.rename(base / f".new{version}", base / str(version))


def states(server) -> dict[str, str]:
    answer = requests.get(f"{server.url}/v1/models/cells", timeout=30).json()
    return {item["version"]: item["state"] for item in answer["model_version_status"]}


def test_a_new_version_is_taken_up_without_losing_a_request(base, model_versions):
    with LocalServer({"cells": base}, poll_seconds=0.1) as server:
        stop = threading.Event()
        urls = [server.url, f"grpc://{server.grpc_address}"]

        def ask(url: str) -> list[int]:
            answers = []
            with Client(url, "cells", retries=0) as client:
                while not stop.is_set():
                    answers.append(int(client.predict(IMAGE).max()))
            return answers

        with ThreadPoolExecutor(5) as threads:
            asking = [threads.submit(ask, url) for url in urls * 2]
            # One that is under way when the versions change is finished by the old one.
            slow = threads.submit(post, server, spin(1.5))
            time.sleep(0.4)
            publish(model_versions[1], base, 2)
            wait_for(lambda: states(server).get("1") == "END")
            assert slow.result().status_code == 200
            time.sleep(0.2)
            stop.set()
            results = [future.result() for future in asking]
        assert states(server) == {"2": "AVAILABLE", "1": "END"}
        for answers in results:
            assert answers[0] == 0
            assert answers[-1] == 1
            assert answers == sorted(answers), "an answer of the old version after the new one's"
        gone = post(server, {"instances": [{"b64": ""}]}, "cells/versions/1")
        assert gone.status_code == 404


def test_of_a_version_that_has_gone_nothing_stays(base, model_versions):
    with LocalServer({"cells": base}, poll_seconds=0.05) as server, Client(server.url) as client:
        client.predict(IMAGE)
        (served,) = server._service.repository._models["cells"]._loaded.values()
        held = [
            weakref.ref(served),
            weakref.ref(served._session),
            weakref.ref(served._session.graph),
        ]
        del served
        publish(model_versions[1], base, 2)
        wait_for(lambda: states(server).get("1") == "END")
        gc.collect()
        assert [reference() for reference in held] == [None, None, None]


def test_the_old_version_stays_while_the_new_one_does_not_load(base, model_versions):
    with LocalServer({"cells": base}, poll_seconds=0.05) as server:
        (base / "2").mkdir()
        (base / "2" / "saved_model.pb").write_bytes(b"half of a file")
        (base / "not-a-version").mkdir()
        wait_for(lambda: states(server).get("2") == "END")
        (failed,) = requests.get(f"{server.url}/v1/models/cells/versions/2").json()[
            "model_version_status"
        ]
        assert failed["status"]["error_code"] == "FAILED_PRECONDITION"
        assert "not a SavedModel" in failed["status"]["error_message"]
        with Client(server.url) as client:
            assert client.predict(IMAGE).max() == 0
            # Once it is whole, it is tried again.
            shutil.rmtree(base / "2")
            publish(model_versions[1], base, 2)
            wait_for(lambda: states(server).get("2") == "AVAILABLE")
            wait_for(lambda: states(server)["1"] == "END")
            assert client.predict(IMAGE).max() == 1
            # And when all folders vanish, what is loaded stays.
            shutil.rmtree(base / "1")
            shutil.rmtree(base / "2")
            time.sleep(0.3)
            assert client.predict(IMAGE).max() == 1


def test_versions_and_labels(base, model_versions):
    publish(model_versions[1], base, 2)
    publish(model_versions[1], base, 3)
    labels = {"cells": {"stable": 1, "canary": 3}}
    with LocalServer({"cells": base}, labels=labels) as server:
        assert states(server) == {"3": "AVAILABLE", "1": "AVAILABLE"}
        for url in (server.url, f"grpc://{server.grpc_address}"):
            for choice, expected in (
                ({}, 1),
                ({"version": 1}, 0),
                ({"version": 3}, 1),
                ({"label": "stable"}, 0),
                ({"label": "canary"}, 1),
            ):
                with Client(url, "cells", **choice) as client:
                    assert client.predict(IMAGE).max() == expected
    with LocalServer({"cells": base}, num_versions=2) as server:
        assert states(server) == {"3": "AVAILABLE", "2": "AVAILABLE"}


def test_folders_of_one_version_or_of_none(base, model_versions):
    largest = 2**63 - 1
    for name in ("0", "00", str(largest + 1), str(10**23), "-3", "\u0663"):
        (base / name).mkdir()
    (base / "007").symlink_to(model_versions[1])
    with LocalServer({"cells": base}, poll_seconds=0.05) as server:
        assert states(server) == {"7": "AVAILABLE"}
        os.rename(base / "1", base / str(largest))
        wait_for(lambda: states(server).get(str(largest)) == "AVAILABLE")
        for address in (server.url, f"grpc://{server.grpc_address}"):
            with Client(address, "cells", version=largest) as client:
                assert client.predict(IMAGE).max() == 0
    os.rename(base / str(largest), base / "7")
    with pytest.raises(ValueError, match="one version twice, in the folders '007' and '7'"):
        LocalServer({"cells": base}).start()


def warm_up(folder, signature: str, **inputs) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = "cells"
    log.predict_log.request.model_spec.signature_name = signature
    for name, value in inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    (folder / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(folder / "assets.extra/tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())


def test_warm_up_runs_before_a_version_serves(base, model_versions):
    warm_up(base / "1", "spin", seconds=np.array([0.7]))
    begin = time.monotonic()
    with LocalServer({"cells": base}) as server:
        assert time.monotonic() - begin > 0.7
        assert states(server) == {"1": "AVAILABLE"}
    shutil.rmtree(base / "1" / "assets.extra")
    warm_up(base / "1", "serving_default", image_bytes=[b"no image"])
    with pytest.raises(ValueError, match=r"'cells' does not load: A warm-up record of .* failed"):
        LocalServer({"cells": base}).start()


def test_warm_up_is_not_held_to_what_requests_may_hold(base):
    warm_up(base / "1", "tile", tile=np.zeros((2, 32, 32, 1), np.float32))
    with LocalServer({"cells": base}, max_request_bytes=4096) as server:
        assert states(server) == {"1": "AVAILABLE"}
        with Client(server.url) as client, pytest.raises(EndpointError, match="4096"):
            client.predict_tiles(np.zeros((2, 32, 32, 1), np.float32))


def test_more_requests_than_places_are_refused(model_folder):
    with LocalServer({"cells": model_folder}, workers=1, max_waiting=1) as server:
        with ThreadPoolExecutor(2) as threads:
            begin = time.monotonic()
            first = [threads.submit(post, server, spin(1.5)) for _ in range(2)]
            wait_for(lambda: server._service.work.taken == 2)
            full = post(server, spin(0.0))
            assert full.status_code == 429
            assert "is busy" in full.json()["error"]
            with Client(f"grpc://{server.grpc_address}", "cells", retries=0) as client:
                with pytest.raises(EndpointError) as caught:
                    client.predict(IMAGE)
                assert caught.value.code == "RESOURCE_EXHAUSTED"
                # Full up, it still says how it is.
                assert client.status()[0]["state"] == "AVAILABLE"
            assert requests.get(f"{server.url}/health", timeout=1).status_code == 200
            assert time.monotonic() - begin < 2.0
            assert [future.result().status_code for future in first] == [200, 200]
        with Client(server.url, retries=20, backoff=0.05) as client:
            assert client.predict(IMAGE).shape == IMAGE.shape


def test_deadline(model_folder):
    with LocalServer({"cells": model_folder}, workers=1, timeout=0.4) as server:
        with ThreadPoolExecutor(2) as threads:
            running, waiting = threads.map(lambda _: post(server, spin(30.0)), range(2))
        assert running.status_code == waiting.status_code == 504
        assert "deadline" in running.json()["error"].lower()
        wait_for(lambda: server._service.work.taken == 0)
        assert post(server, spin(0.0)).status_code == 200


def test_a_client_that_goes_away_leaves_the_queue(model_folder):
    with LocalServer({"cells": model_folder}, workers=1, max_waiting=4) as server:
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(post, server, spin(1.0))
            wait_for(lambda: server._service.work.taken == 1)
            with contextlib.suppress(requests.Timeout):
                requests.post(f"{server.url}/v1/models/cells:predict", json=spin(20.0), timeout=0.2)
            # It does not wait for the one that runs.
            wait_for(lambda: server._service.work.taken == 1)
            assert running.result().status_code == 200
        wait_for(lambda: server._service.work.taken == 0, 5)


def test_large_requests_are_refused(model_folder):
    with LocalServer({"cells": model_folder}, max_request_bytes=200_000) as server:
        url = f"{server.url}/v1/models/cells:predict"

        def chunks():
            for _ in range(30):
                yield b"x" * 10_000

        for body in (b"x" * 300_000, chunks()):
            answer = requests.post(url, data=body, timeout=30)
            assert answer.status_code == 413
            assert answer.json() == {"error": "The request body is larger than 200000 bytes."}
        # So large that it is not even read to its end: an answer or a closed connection.
        with contextlib.suppress(requests.ConnectionError):
            assert requests.post(url, data=b"x" * 20_000_000, timeout=30).status_code == 413
        with Client(f"grpc://{server.grpc_address}", "cells") as client:
            with pytest.raises(EndpointError, match="larger than max") as caught:
                client.predict(np.random.default_rng(0).integers(0, 256, (600, 600), np.uint8))
            assert caught.value.code == "RESOURCE_EXHAUSTED"
            assert client.predict(IMAGE).shape == IMAGE.shape


def test_all_bodies_together_are_bounded(model_folder):
    limits = {"max_request_bytes": 100_000, "max_held_bytes": 150_000}
    with LocalServer({"cells": model_folder}, **limits) as server:
        held, url = server._service.held, f"{server.url}/v1/models/cells:predict"
        host, port = server.url.removeprefix("http://").split(":")
        head = b"POST /v1/models/cells:predict HTTP/1.1\r\nHost: localhost\r\n"
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(head + b"Content-Length: 90001\r\n\r\n" + b"x" * 90_000)
            wait_for(lambda: held.used == 90_000)
            full = requests.post(url, data=b"x" * 90_000, timeout=30)
            assert full.status_code == 429
            assert "may hold 150000 bytes" in full.json()["error"]
            wait_for(lambda: held.used == 90_000)
            noise = np.random.default_rng(0).integers(0, 256, (290, 290), np.uint8)
            with Client(f"grpc://{server.grpc_address}", "cells", retries=0) as client:
                with pytest.raises(EndpointError, match="may hold 150000 bytes") as caught:
                    client.predict(noise)
                assert caught.value.code == "RESOURCE_EXHAUSTED"
        # Whoever goes away gives back what they held.
        wait_for(lambda: held.used == 0)
        for address in (server.url, f"grpc://{server.grpc_address}"):
            with Client(address, "cells") as client:
                assert client.predict(IMAGE).shape == IMAGE.shape
        assert requests.post(url, data=b"not JSON", timeout=30).status_code == 400
        wait_for(lambda: held.used == 0)


def test_a_document_of_many_numbers_is_refused(model_folder):
    with LocalServer({"cells": model_folder}, max_json_values=100) as server:
        body = {"signature_name": "classes", "inputs": np.zeros((1, 10, 10, 1)).tolist()}
        answer = post(server, body)
        assert answer.status_code == 413
        assert "more than 100 numbers and lists in JSON; send the image encoded" in answer.text
        with Client(server.url) as client:
            assert client.predict(np.zeros((100, 100), np.uint8)).shape == (100, 100)


def bomb(height: int, width: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(b"\0" * min(height * (width + 1), 10_000_000), 9))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


def test_decompression_bombs_are_refused_before_they_are_decoded(model_folder):
    with LocalServer({"cells": model_folder}, max_pixels=1_000_000) as server:
        for png in (bomb(2000, 2000), bomb(2**31 - 1, 2**31 - 1), bomb(2**32 - 1, 1)):
            answer = post(server, {"instances": [{"b64": base64.b64encode(png).decode()}]})
            assert answer.status_code == 400
            assert "pixels; this endpoint decodes images of up to 1000000" in answer.json()["error"]
            client = Client(f"grpc://{server.grpc_address}", "cells")
            with client, pytest.raises(EndpointError, match="claims to have"):
                client.predict_bytes(png)
        image = np.zeros((1000, 1000), np.uint8)
        with Client(server.url) as client:
            assert client.predict(image).shape == image.shape


def test_closing_finishes_what_runs_and_refuses_the_rest(model_folder):
    server = LocalServer({"cells": model_folder}, workers=2).start()
    url, channel = server.url, f"grpc://{server.grpc_address}"
    with ThreadPoolExecutor(5) as threads, Client(channel, "cells", retries=0) as client:

        def over_grpc(seconds: float):
            return client.run("spin", {"seconds": np.array([seconds])})

        running = [threads.submit(post, server, spin(1.5)), threads.submit(over_grpc, 1.5)]
        work = server._service.work
        wait_for(lambda: work._running == 2)
        waiting = [threads.submit(post, server, spin(0.0)), threads.submit(over_grpc, 0.0)]
        wait_for(lambda: work.taken == 4)
        closing = threads.submit(server.close)
        # What waits is told at once, so that it can go elsewhere.
        assert waiting[0].result().status_code == 503
        assert waiting[0].result().json() == {
            "error": "The server is shutting down; try again later."
        }
        assert waiting[1].exception().code == "UNAVAILABLE"
        refusal = requests.post(f"{url}/v1/models/cells:predict", json=spin(0.0), timeout=10)
        assert refusal.status_code == 503
        assert requests.get(f"{url}/health", timeout=10).status_code == 503
        assert running[0].result().status_code == 200
        assert running[1].result().shape == (1,)
        closing.result()
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)
    with Client(channel, "cells", retries=0) as client, pytest.raises(EndpointError):
        client.status()
    server.close()


def test_what_runs_longer_than_the_grace_is_refused_and_not_cut_off(model_folder):
    server = LocalServer({"cells": model_folder}, grace=0.2).start()
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(post, server, spin(4.0))
        wait_for(lambda: server._service.work.taken == 1)
        server.close()
        assert running.result().status_code == 503


def test_closing_gives_everything_back(model_folder):
    def threads() -> set[str]:
        return {thread.name for thread in threading.enumerate() if "endpoint" in thread.name}

    with LocalServer({"cells": model_folder}) as server:
        assert post(server, spin(0.0)).status_code == 200
        model = server._service.repository._models["cells"]
    assert [state for _, state, _, _ in model.status()] == ["END"]
    wait_for(lambda: not threads())


def test_sigterm_ends_serving_cleanly(model_folder):
    code = """
import sys
from keras_unet3p.endpoint import LocalServer, serve
serve(LocalServer({"cells": sys.argv[1]}),
      on_ready=lambda server: print(server.url, server.grpc_address, flush=True))
print("ended", flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(model_folder)], stdout=subprocess.PIPE, text=True
    )
    with process:
        url = process.stdout.readline().split()[0]
        assert url.startswith("http://127.0.0.1:")
        with ThreadPoolExecutor(1) as threads:
            body = spin(1.0)
            running = threads.submit(
                requests.post, f"{url}/v1/models/cells:predict", json=body, timeout=30
            )
            time.sleep(0.4)
            process.send_signal(signal.SIGTERM)
            assert running.result().status_code == 200
        assert process.stdout.read() == "ended\n"
        assert process.wait(20) == 0


def test_sigint_ends_serving_and_handlers_are_put_back(model_folder):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    serve(
        LocalServer({"cells": model_folder}),
        on_ready=lambda _: threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start(),
    )
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_serve_in_a_thread(model_folder):
    stop, servers = threading.Event(), []
    thread = threading.Thread(
        target=serve,
        args=(LocalServer({"cells": model_folder}),),
        kwargs={"on_ready": servers.append, "stop": stop},
    )
    thread.start()
    wait_for(lambda: servers)
    assert requests.get(servers[0].url + "/health", timeout=10).status_code == 200
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def test_wrong_arguments(model_folder, tmp_path):
    for models, message in (
        ({}, "models is empty"),
        ({"a/b": model_folder}, "'a/b' must not be empty or contain"),
        ({"cells": tmp_path}, "holds no version folder"),
        ({"cells": model_folder / "1"}, "is itself a version folder"),
        ({"cells": tmp_path / "missing"}, "holds no version folder"),
    ):
        with pytest.raises(ValueError, match=message):
            LocalServer(models).start()
    with pytest.raises(ValueError, match="labels names the model 'x'"):
        LocalServer({"cells": model_folder}, labels={"x": {}})
    with pytest.raises(ValueError, match="num_versions must be at least 1"):
        LocalServer({"cells": model_folder}, num_versions=0)
    for ports, message in (
        ({"port": 99999}, "^port must lie in 0 to 65535, found 99999"),
        ({"grpc_port": 99999}, "^grpc_port must lie in 0 to 65535, found 99999"),
        ({"grpc_port": -1}, "^grpc_port must lie in 0 to 65535, found -1"),
        ({"port": 8500, "grpc_port": 8500}, "port and grpc_port must differ, both are 8500"),
    ):
        with pytest.raises(ValueError, match=message):
            LocalServer({"cells": model_folder}, **ports)
    (tmp_path / "1").mkdir()
    with pytest.raises(ValueError, match="does not load"):
        LocalServer({"cells": tmp_path}).start()


def test_a_taken_port_is_an_error(model_folder):
    with LocalServer({"cells": model_folder}) as server:
        port = int(server.url.rsplit(":", 1)[1])
        grpc_port = int(server.grpc_address.rsplit(":", 1)[1])
        with pytest.raises(OSError, match=f"127.0.0.1:{port} is in use by another program"):
            LocalServer({"cells": model_folder}, port=port).start()
        with pytest.raises(OSError, match=f"127.0.0.1:{grpc_port} is in use by another program"):
            LocalServer({"cells": model_folder}, grpc_port=grpc_port).start()
    # Closed, it gives both back.
    with LocalServer({"cells": model_folder}, port=port, grpc_port=grpc_port) as server:
        grpc.channel_ready_future(grpc.insecure_channel(server.grpc_address)).result(10)


def test_it_listens_on_this_machine_only_by_default(server):
    assert server.url.startswith("http://127.0.0.1:")
    assert server.grpc_address.startswith("127.0.0.1:")


def test_a_refused_request_leaves_nothing_for_the_collector(server):
    """Errors that keep their frames keep the request's body too, until a full collection."""
    path = f"{server.url}/v1/models/cells"

    def refuse(client: Client) -> None:
        for _ in range(20):
            post(server, {"inputs": ["no image" * 1000]})
            requests.post(f"{path}/versions/9:predict", data=b"x" * 1000, timeout=30)
            with contextlib.suppress(EndpointError):
                client.predict_bytes(b"no image")

    def left() -> int:
        return sum(type(item) is EndpointError for item in gc.get_objects())

    with Client(f"grpc://{server.grpc_address}", "cells") as client:
        refuse(client)
        gc.collect()
        gc.disable()
        try:
            before = left()
            refuse(client)
            assert left() - before < 10
        finally:
            gc.enable()
