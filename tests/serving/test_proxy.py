"""The real nginx with the kit's own file, in front of the local endpoint."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from keras_unet3p import cli
from keras_unet3p.artifacts.golden_pairs import GOLDEN_FILE, GoldenPair, write_golden_pairs
from keras_unet3p.client import Client, EndpointError

requests = pytest.importorskip("requests")

CONFIGURATION = Path(__file__).parents[2] / "serving/proxy/nginx.conf"

MAKE_CERTIFICATE = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout tls.key -out tls.crt"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Proxy:
    """nginx on a port of this machine, with a certificate of its own.

    Args:
        folder: where it writes.
        rest, grpc: addresses of the server behind it.
        clients: name -> key.
    """

    def __init__(self, folder: Path, rest: str, grpc: str, clients: dict[str, str]):
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        self.ca_file = folder / "tls/tls.crt"
        self.log = folder / "access.log"
        (folder / "tls").mkdir()
        subprocess.run(
            f"{MAKE_CERTIFICATE} -subj /CN=proxy -addext subjectAltName=IP:127.0.0.1",
            shell=True,
            cwd=folder / "tls",
            check=True,
            capture_output=True,
        )
        lines = [f'"{key}" {name};\n' for name, key in clients.items()]
        (folder / "keys.map").write_text("".join(lines))
        text = CONFIGURATION.read_text()
        for found, put in {
            # The first, since the folder itself may be there.
            "/tmp/": f"{folder}/",
            "/etc/nginx/": f"{folder}/",
            "/dev/stdout": str(self.log),
            "server serving:8501": f"server {rest}",
            "server serving:8500": f"server {grpc}",
            "listen 8443": f"listen {self.address}",
        }.items():
            assert found in text
            text = text.replace(found, put)
        (folder / "nginx.conf").write_text(text)

    def __enter__(self) -> Proxy:
        words = ["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
        self.errors = (self.folder / "stderr").open("w+")
        # One process: as root, the workers of a master would become a user who may not read here.
        self.process = subprocess.Popen(
            [*words, "-g", "daemon off; master_process off;"], stderr=self.errors
        )
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                assert self.get("/healthz").status_code == 200
                return self
            except requests.ConnectionError:
                time.sleep(0.05)
        self.__exit__()
        raise AssertionError((self.folder / "stderr").read_text())

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.errors.close()

    def get(self, path: str, **headers: str):
        return requests.get(
            f"https://{self.address}{path}", headers=headers, verify=self.ca_file, timeout=10
        )

    def post(self, path: str, body: bytes, **headers: str):
        return requests.post(
            f"https://{self.address}{path}",
            data=body,
            headers=headers,
            verify=self.ca_file,
            timeout=60,
        )

    def client(self, scheme: str, key: str | None = None, **options) -> Client:
        headers = {} if key is None else {"X-Api-Key": key}
        return Client(
            f"{scheme}://{self.address}",
            "cells",
            headers=headers,
            ca_file=self.ca_file,
            **{"retries": 0, **options},
        )

    def logged(self, client: str) -> list[dict]:
        """What the log says of a client."""
        # A line is written after its answer was sent; the one process does that before this.
        self.get("/healthz")
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if line["client"] == client]


CLIENTS = {
    name: f"key-of-{name}"
    for name in ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
}


@pytest.fixture(scope="module")
def proxy(model_folder, tmp_path_factory):
    for program in ("nginx", "openssl"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed: no proxy to test")
    from keras_unet3p.endpoint import LocalServer

    with LocalServer(
        {"cells": model_folder}, port=0, grpc_port=0, allowed_hosts=["serving_rest"]
    ) as server:
        rest = server.url.removeprefix("http://")
        folder = tmp_path_factory.mktemp("proxy")
        with Proxy(folder, rest, server.grpc_address, CLIENTS) as proxy:
            yield proxy


@pytest.fixture(params=["https", "grpcs"])
def scheme(request) -> str:
    return request.param


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (45, 67), np.uint8)


def test_a_known_client_is_served(proxy, scheme, image):
    with proxy.client(scheme, CLIENTS["alice"]) as client:
        np.testing.assert_array_equal(client.predict(image), image >= 128)
        assert client.status()[0]["state"] == "AVAILABLE"


@pytest.mark.parametrize(
    "key", [None, "", "key-of-nobody", "key-of-alicex", "key-of-alice, key-of-bob"]
)
def test_nobody_else_is(proxy, scheme, image, key):
    with (
        proxy.client(scheme, key) as client,
        pytest.raises(EndpointError, match="X-Api-Key") as caught,
    ):
        client.predict(image)
    assert caught.value.code == "UNAUTHENTICATED"


def test_the_tiles_of_a_large_image_have_the_key_too(proxy, scheme, image):
    with proxy.client(scheme, CLIENTS["grace"], retries=8) as client:
        np.testing.assert_array_equal(client.predict_large(image, stride=4), image >= 128)


@pytest.fixture
def golden(model_folder, image, tmp_path) -> Path:
    """A version folder with one pair; the right answer is the server's."""
    version = tmp_path / "cells/1"
    shutil.copytree(model_folder / "1", version)
    (version / GOLDEN_FILE).parent.mkdir(exist_ok=True)
    right = (image[None] >= 128).astype(np.uint8)
    pair = GoldenPair("classes", "image", "class_ids", image[None, ..., None], right)
    write_golden_pairs(version / GOLDEN_FILE, [pair])
    return version


def run(command: list) -> tuple[int, str]:
    """The exit code of a command, and all that it told, with the tracebacks of its errors."""
    ran = CliRunner().invoke(cli.app, [*map(str, command)])
    return ran.exit_code, ran.output + "".join(traceback.format_exception(*ran.exc_info))


@pytest.mark.parametrize("kept", ["variable", "file"])
def test_commands_take_the_key_from_the_environment(
    proxy, scheme, image, golden, tmp_path, monkeypatch, kept
):
    key = CLIENTS["heidi"]
    if kept == "file":
        (tmp_path / "key").write_text(f"{key}\n")
    where = {"UNET3P_API_KEY": key, "UNET3P_API_KEY_FILE": str(tmp_path / "key")}
    name = {"variable": "UNET3P_API_KEY", "file": "UNET3P_API_KEY_FILE"}[kept]
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "a.png"), image)
    url = f"{scheme}://{proxy.address}/cells"
    commands = [
        ["verify", url, "--golden", golden],
        ["predict", url, images, "--out", tmp_path / "masks", "--no-overlays"],
        ["compare", url, url, "--images", images, "--out", tmp_path / "compared"],
    ]
    monkeypatch.setenv("UNET3P_CA_FILE", str(proxy.ca_file))
    for is_given in (False, True):
        if is_given:
            monkeypatch.setenv(name, where[name])
        for command in commands:
            code, told = run(command)
            assert (code == 0) == is_given, f"{command[0]}: {told}"
            assert ("UNAUTHENTICATED" in told) != is_given
            assert key not in told
    mask = cv2.imread(str(tmp_path / "masks/a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask > 0, image >= 128)
    # A key that is not known is not shown either.
    monkeypatch.setenv("UNET3P_API_KEY", "0123456789")
    monkeypatch.delenv("UNET3P_API_KEY_FILE", raising=False)
    for command in commands:
        _, told = run(command)
        assert "UNAUTHENTICATED" in told
        assert "0123456789" not in told


def test_only_the_models_can_be_reached(proxy):
    key = {"X-Api-Key": CLIENTS["bob"]}
    for path in ("/v1/models/cells", "/v1/models/cells/versions/1/metadata"):
        assert proxy.get(path, **key).status_code == 200, path
    for path in (
        "/",
        "/health",
        "/monitoring/prometheus/metrics",
        "/v1/models/cells:classify",
        "/v1/models/cells/../../health",
        "/v1/models/cells%2f..%2f..%2fhealth",
    ):
        answer = proxy.get(path, **key)
        assert answer.status_code == 404, path
        assert "nothing here" in answer.json()["error"]


def test_the_models_cannot_be_changed_over_grpc(proxy):
    grpc = pytest.importorskip("grpc")
    roots = grpc.ssl_channel_credentials(proxy.ca_file.read_bytes())
    with grpc.secure_channel(proxy.address, roots) as channel:
        for method in ("ModelService/HandleReloadConfigRequest", "PredictionService/Classify"):
            call = channel.unary_unary(f"/tensorflow.serving.{method}")
            with pytest.raises(grpc.RpcError) as caught:
                call(b"", metadata=[("x-api-key", CLIENTS["bob"])], timeout=10)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_request_that_is_too_large(proxy, scheme):
    noise = np.random.default_rng(0).integers(0, 256, (1, 8200, 8200, 1), np.uint8)
    if scheme == "https":
        answer = proxy.post(
            "/v1/models/cells:predict", b" " * (2**26 + 1), **{"X-Api-Key": CLIENTS["carol"]}
        )
        assert answer.status_code == 413
        assert "64 MiB" in answer.json()["error"]
        return
    with proxy.client(scheme, CLIENTS["carol"]) as client:
        with pytest.raises(EndpointError) as caught:
            client.run("classes", {"image": noise}, "class_ids")
        assert caught.value.code == "RESOURCE_EXHAUSTED"
        # And one that is not.
        small = noise[:, :3000, :3000]
        answer = client.run("classes", {"image": small}, "class_ids")
        np.testing.assert_array_equal(answer, small[..., 0] >= 128)


def test_each_client_has_its_own_rate(proxy, scheme, image):
    name = {"https": "dave", "grpcs": "erin"}[scheme]
    small = cv2.imencode(".png", image)[1].tobytes()
    with (
        proxy.client(scheme, CLIENTS[name]) as greedy,
        proxy.client(scheme, CLIENTS["alice"]) as other,
        proxy.client(scheme, CLIENTS[name], retries=8) as patient,
    ):
        with ThreadPoolExecutor(8) as threads:
            answers = [threads.submit(greedy.predict_bytes, small) for _ in range(400)]
        refused = [answer.exception() for answer in answers if answer.exception()]
        assert 0 < len(refused) < 400 - 20
        assert all("Too many requests" in str(error) for error in refused)
        assert {error.code for error in refused} == {"RESOURCE_EXHAUSTED"}
        other.predict_bytes(small)
        # A client that waits gets all its answers.
        for _ in range(5):
            patient.predict_bytes(small)


def test_the_log_tells_the_signatures_apart(proxy, image):
    path = "/v1/models/cells:predict"
    for scheme in ("https", "grpcs"):
        with proxy.client(scheme, CLIENTS["frank"]) as client:
            client.predict(image)
            client.run("classes", {"image": image[None, ..., None]}, "class_ids")
            with pytest.raises(EndpointError):
                client.run("classes", {"image": np.zeros((1, 2), np.uint8)}, "class_ids")
    key = {"X-Api-Key": CLIENTS["frank"]}
    body = {"instances": [[[0]]], "signature_name": "probabilities"}
    proxy.post(path, json.dumps(body).encode(), **key)
    proxy.post(path, b'{"instances": []}', **key)
    proxy.post(path, b"{}", **key, **{"X-Signature-Name": 'a"; evil {'})
    proxy.post(path, b"[" + b" " * 2**21 + b"]", **key)
    proxy.get("/v1/models/cells", **key)

    lines = proxy.logged("frank")
    predictions = [line for line in lines if line["call"].lower().endswith("predict")]
    rest = [line["signature"] for line in predictions if line["call"] == path]
    assert rest[:3] == ["serving_default", "classes", "classes"]
    assert rest[3:] == ["probabilities", "serving_default", "other", "unknown"]
    over_grpc = [line for line in predictions if line["call"] != path]
    assert [line["signature"] for line in over_grpc] == ["serving_default", "classes", "classes"]
    assert [line["grpc_status"] for line in over_grpc] == ["0", "0", "3"]
    assert {line["status"] for line in over_grpc} == {200}
    for line in lines:
        assert line["seconds"] >= 0
        assert line["bytes_in"] > 0
        assert line["bytes_out"] > 0


def test_a_server_that_is_not_there(tmp_path, proxy, scheme, image):
    nobody = f"127.0.0.1:{free_port()}"
    with (
        Proxy(tmp_path, nobody, nobody, CLIENTS) as alone,
        alone.client(scheme, CLIENTS["alice"]) as client,
        pytest.raises(EndpointError, match="cannot be reached") as caught,
    ):
        client.predict(image)
    assert caught.value.code == "UNAVAILABLE"
