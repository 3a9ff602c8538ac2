"""The client against the local endpoint, and against TensorFlow Serving where there is one.

`TF_SERVING_URL` names a running server, as "http://host:port" or "grpc://host:port"; it must serve
the model that `python tests/served_models.py FOLDER/1` writes, under the name "cells".
`TF_SERVING_BINARY` is the path of a `tensorflow_model_server` to start.
"""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from served_models import tensorflow_serving

from keras_unet3p.client import Client, EndpointError


@pytest.fixture(scope="module")
def tf_serving(model_folder):
    """URLs of a TensorFlow Serving started for the tests."""
    flags = ["--model_name=cells", f"--model_base_path={model_folder}"]
    with tensorflow_serving("cells", *flags) as (url, grpc_address):
        yield {"http": url, "grpc": f"grpc://{grpc_address}"}


@pytest.fixture(params=["local-http", "local-grpc", "url", "binary-http", "binary-grpc"])
def client(request, server):
    where, _, scheme = request.param.partition("-")
    if where == "local":
        url = server.url if scheme == "http" else f"grpc://{server.grpc_address}"
    elif where == "url":
        url = os.environ.get("TF_SERVING_URL")
        if not url:
            pytest.skip("TF_SERVING_URL is not set: no TensorFlow Serving to test against")
    else:
        url = request.getfixturevalue("tf_serving")[scheme]
    with Client(url, "cells", timeout=60) as client:
        yield client


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (45, 67), np.uint8)


def test_predict_takes_bytes_paths_and_arrays(client, image, tmp_path):
    expected = (image >= 128).astype(np.uint8)
    assert cv2.imwrite(str(tmp_path / "a.png"), image)
    assert cv2.imwrite(str(tmp_path / "a.tif"), image)
    np.save(tmp_path / "a.npy", image)
    for given in (
        image,
        image[..., None],
        np.dstack([image] * 3),
        image.astype(np.uint16) * 257,
        cv2.imencode(".png", image)[1].tobytes(),
        cv2.imencode(".bmp", image)[1].tobytes(),
        cv2.imencode(".tiff", image)[1].tobytes(),
        tmp_path / "a.png",
        str(tmp_path / "a.tif"),
        tmp_path / "a.npy",
    ):
        mask = client.predict(given)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(client.predict(image, "classes"), expected)
    floats = client.predict(image / np.float32(255))
    np.testing.assert_array_equal(floats, expected)
    np.testing.assert_array_equal(client.predict(image >= 128), expected)


def test_what_would_be_read_in_part_or_wrongly_is_refused(client, image, tmp_path):
    assert cv2.imwritemulti(str(tmp_path / "film.tif"), [image, image])
    with pytest.raises(ValueError, match=r"film\.tif holds 2 images"):
        client.predict(tmp_path / "film.tif")
    for call in (client.probabilities, lambda pixels: client.predict(pixels, "classes")):
        with pytest.raises(ValueError, match="int32"):
            call(image.astype(np.int32))


def test_predict_bytes_gives_a_png(client, image):
    png = client.predict_bytes(cv2.imencode(".png", image)[1].tobytes())
    assert png.startswith(b"\x89PNG")
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(png, np.uint8), -1), image >= 128)


def test_probabilities(client, image):
    found = client.probabilities(image)
    assert found.dtype == np.float32
    assert found.shape == (*image.shape, 1)
    np.testing.assert_allclose(found[..., 0], image / 255, atol=1e-6)
    np.testing.assert_allclose(client.probabilities(np.dstack([image] * 3)), found, atol=0.005)
    np.testing.assert_allclose(client.probabilities(image / 255.0), found, atol=1e-6)


def test_tiles(client):
    tiles = np.random.default_rng(0).random((3, 32, 32, 1), np.float32)
    np.testing.assert_array_equal(client.predict_tiles(tiles), tiles >= np.float32(128 / 255))


def test_status_and_metadata(client):
    assert client.status()[0] == {
        "version": 1,
        "state": "AVAILABLE",
        "error_code": "OK",
        "error_message": "",
    }
    metadata = client.metadata()
    assert (metadata["model"], metadata["version"]) == ("cells", 1)
    assert metadata["signatures"]["classes"] == {
        "inputs": {"image": {"dtype": "uint8", "shape": [-1, -1, -1, 1]}},
        "outputs": {"class_ids": {"dtype": "uint8", "shape": [-1, -1, -1]}},
    }


def test_an_answer_of_many_megabytes(client):
    image = np.zeros((1100, 1200), np.uint8)
    if client._transport.__class__.__name__ == "RestTransport":
        image = image[:300, :300]
    assert client.probabilities(image).shape == (*image.shape, 1)


def test_refusals_carry_code_and_reason(client, image):
    with pytest.raises(EndpointError, match=r"(?i)image") as caught:
        client.predict_bytes(b"this is no image")
    assert caught.value.code == "INVALID_ARGUMENT"
    with pytest.raises(EndpointError) as caught:
        client.predict_tiles(np.zeros((1, 31, 32, 1)))
    assert caught.value.code in ("INVALID_ARGUMENT", "INTERNAL")


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_unknown_models_versions_and_labels(server, scheme, image):
    url = server.url if scheme == "http" else f"grpc://{server.grpc_address}"
    for arguments, code in (
        ({"model": "nix"}, "NOT_FOUND"),
        ({"model": "cells", "version": 5}, "NOT_FOUND"),
        ({"model": "cells", "label": "new"}, "INVALID_ARGUMENT"),
    ):
        with Client(url, **arguments) as client, pytest.raises(EndpointError) as caught:
            client.predict(image)
        assert caught.value.code == code


def test_the_only_model_of_a_local_endpoint_needs_no_name(server, image):
    with Client(server.url) as client:
        np.testing.assert_array_equal(client.predict(image), image >= 128)


def test_what_png_cannot_hold_travels_as_numbers(server, tmp_path):
    image = np.random.default_rng(0).integers(0, 2**15, (9, 11), np.int16)
    np.save(tmp_path / "signed.npy", image)
    np.save(tmp_path / "channels.npy", np.zeros((9, 11, 5), np.uint8))
    tiff = cv2.imencode(".tiff", image)[1].tobytes()
    with Client(server.url, "cells") as client:
        # As uint8, what the model takes: those from 128 are marked.
        expected = np.round(image / np.float32(2**15 - 1) * 255) >= 128
        for given in (image, tmp_path / "signed.npy", tiff):
            np.testing.assert_array_equal(client.predict(given), expected)
        with pytest.raises(ValueError, match="the model takes 1 channels"):
            client.predict(tmp_path / "channels.npy")
        with pytest.raises(ValueError, match="PNG holds uint8 and uint16, found int16"):
            client.predict(image, "serving_default")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((2, 3, 4, 5)), "expected numbers of shape"),
        (np.zeros((0, 3)), "expected numbers of shape"),
        (np.full((4, 4), 255.0), r"floats must lie in \[0, 1\], found 255"),
        (np.full((4, 4), np.nan), r"floats must lie in \[0, 1\]"),
        (np.zeros((4, 4), np.int64), "must have 8 or 16 bits .* found int64"),
        (3, "expected bytes, a path or an array"),
        (b"no image", "image cannot be read; accepted are PNG"),
        (b"", "image cannot be read; accepted are PNG"),
    ],
)
def test_images_of_no_accepted_kind(server, given, message):
    with Client(server.url, "cells") as client, pytest.raises(ValueError, match=message):
        client.predict(given)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"expected http\(s\)://host:port or grpc"):
        Client("localhost:8501")
    with pytest.raises(ValueError, match="give one of them"):
        Client("http://localhost:8501", version=1, label="a")


def test_the_client_imports_no_tensorflow(server):
    code = """
import sys
import numpy as np
from keras_unet3p.client import Client
image = np.full((8, 9), 200, np.uint8)
for url in sys.argv[1:]:
    with Client(url, "cells") as client:
        assert client.predict(image).all() and client.probabilities(image).shape == (8, 9, 1)
        assert client.predict_tiles(np.zeros((1, 32, 32, 1))).shape == (1, 32, 32, 1)
        assert client.status() and client.metadata()
found = sorted(name for name in sys.modules if name.split(".")[0] in ("tensorflow", "keras"))
assert not found, found
"""
    urls = [server.url, f"grpc://{server.grpc_address}"]
    subprocess.run([sys.executable, "-c", code, *urls], check=True, timeout=60)


class Flaky(http.server.BaseHTTPRequestHandler):
    """Breaks the connection, then is busy twice, then answers."""

    answers: list = []  # noqa: RUF012

    def do_GET(self):
        status = self.answers.pop(0) if self.answers else 200
        if status is None:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = b'{"model_version_status": [{"version": "3", "state": "AVAILABLE"}]}'
        body = body if status == 200 else b'{"error": "busy"}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def flaky():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Flaky)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_busy_and_broken_connections_are_tried_again(flaky):
    Flaky.answers = [None, 429, 503, None]
    with Client(flaky, "m", backoff=0.01) as client:
        assert client.status()[0]["version"] == 3
    assert not Flaky.answers


def test_retries_end(flaky):
    Flaky.answers = [429] * 10
    client = Client(flaky, "m", backoff=0.01, retries=3)
    with client, pytest.raises(EndpointError) as caught:
        client.status()
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    assert len(Flaky.answers) == 6


def test_what_is_wrong_is_not_tried_again(flaky):
    Flaky.answers = [400, 200]
    with Client(flaky, "m", backoff=0.01) as client, pytest.raises(EndpointError, match="busy"):
        client.status()
    assert Flaky.answers == [200]


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_nobody_listens(scheme):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"{scheme}://127.0.0.1:{free.getsockname()[1]}"
    begin = time.monotonic()
    client = Client(url, "m", timeout=0.6, backoff=0.05)
    with client, pytest.raises(EndpointError) as caught:
        client.status()
    assert caught.value.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_the_deadline_holds(server, scheme):
    url = server.url if scheme == "http" else f"grpc://{server.grpc_address}"
    with Client(url, "cells", timeout=0.5) as client, pytest.raises(EndpointError) as caught:
        client.run("spin", {"seconds": np.array([2.0])})
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert server._service.work.wait_until_idle(20)


def test_a_request_without_rows_is_not_sent(client):
    with pytest.raises(ValueError, match="has no rows; expected at least one"):
        client.predict_tiles(np.zeros((0, 64, 64, 1), np.float32))


KEY = {"X-Api-Key": "0f"}


def test_headers_go_with_every_request_over_rest():
    seen = []

    class Recorder(http.server.BaseHTTPRequestHandler):
        def answer(self):
            seen.append((self.path, dict(self.headers)))
            body = b'{"model_version_status": [], "outputs": [[1]]}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = answer

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Client(f"http://127.0.0.1:{server.server_port}", "cells", headers=KEY) as client:
            client.status()
            client._transport.predict("classes", {"image": np.zeros((1, 1))}, "ids", "uint8", 5.0)
        server.shutdown()
    (_, status), (_, prediction) = seen
    assert status["X-Api-Key"] == prediction["X-Api-Key"] == "0f"
    # A proxy need not read the body to know the signature.
    assert prediction["x-signature-name"] == "classes"
    assert "x-signature-name" not in status


def test_headers_go_with_every_request_over_grpc():
    grpc = pytest.importorskip("grpc")
    seen = []

    class Recorder(grpc.GenericRpcHandler):
        def service(self, details):
            seen.append((details.method, dict(details.invocation_metadata)))
            return grpc.unary_unary_rpc_method_handler(lambda request, context: b"")

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Recorder()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with Client(f"grpc://127.0.0.1:{port}", "cells", headers=KEY) as client:
            assert client.status() == []
            # The recorder's answer is empty.
            with pytest.raises(ValueError, match="type 0"):
                client._transport.predict(
                    "classes", {"image": np.zeros((1, 1), np.uint8)}, "ids", "uint8", 5.0
                )
    finally:
        server.stop(None)
    (_, status), (_, prediction) = seen
    assert status["x-api-key"] == prediction["x-api-key"] == "0f"
    assert prediction["x-signature-name"] == "classes"


def test_the_certificates_that_are_not_there(tmp_path):
    for scheme in ("https", "grpcs"):
        with pytest.raises(ValueError, match=r"ca_file: .*none\.pem is no file"):
            Client(f"{scheme}://localhost:1", "cells", ca_file=tmp_path / "none.pem")
