"""The REST API, as TensorFlow Serving's documentation and source have it."""

from __future__ import annotations

import base64
import json
import math
import socket

import cv2
import numpy as np
import pytest
import requests


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def b64(data: bytes) -> dict:
    return {"b64": base64.b64encode(data).decode()}


def decode(value: dict) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(value["b64"]), np.uint8), -1)


@pytest.fixture(scope="module")
def model_url(server) -> str:
    return f"{server.url}/v1/models/cells"


def post(url: str, body, **options) -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body)
    return requests.post(url + ":predict", data=data, timeout=30, **options)


def test_row_form_of_bytes_gives_a_bare_value_a_row(model_url):
    images = [
        np.random.default_rng(seed).integers(0, 256, (20 + seed, 31), np.uint8) for seed in range(3)
    ]
    answer = post(model_url, {"instances": [b64(png(image)) for image in images]})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["predictions"]
    for image, value in zip(images, answer.json()["predictions"], strict=True):
        np.testing.assert_array_equal(decode(value), image >= 128)


def test_row_form_takes_objects_for_a_single_input(model_url):
    image = np.full((5, 6), 200, np.uint8)
    body = {"signature_name": "serving_default", "instances": [{"image_bytes": b64(png(image))}]}
    assert decode(post(model_url, body).json()["predictions"][0]).all()


def test_column_form(model_url):
    image = np.full((5, 6), 200, np.uint8)
    for inputs in ([b64(png(image))], {"image_bytes": [b64(png(image))]}):
        answer = post(model_url, {"inputs": inputs}).json()
        assert list(answer) == ["outputs"]
        assert decode(answer["outputs"][0]).all()


def test_several_inputs_and_outputs_are_objects(model_url):
    rows = {"signature_name": "pair", "instances": [{"a": 1, "b": 2}, {"a": 0.5, "b": -4}]}
    assert post(model_url, rows).json() == {
        "predictions": [{"sum": 3.0, "text": "2"}, {"sum": -3.5, "text": "-4"}]
    }
    columns = {"signature_name": "pair", "inputs": {"a": [1, 0.5], "b": [2, -4]}}
    assert post(model_url, columns).json() == {"outputs": {"sum": [3.0, -3.5], "text": ["2", "-4"]}}


def test_nan_and_infinity_are_written_and_read_as_bare_words(model_url):
    answer = post(model_url, b'{"signature_name": "special", "inputs": [1, -1, 0, NaN, -Infinity]}')
    assert "NaN" in answer.text
    values = answer.json()["outputs"]
    assert values[:2] == [math.inf, -math.inf]
    assert math.isnan(values[2])
    assert math.isnan(values[3])
    assert values[4] == -math.inf


def test_float32_survives_the_way_through_json(model_url):
    sent = np.random.default_rng(0).normal(size=200).astype(np.float32)
    body = {"signature_name": "pair", "inputs": {"a": sent.tolist(), "b": [0] * 200}}
    received = np.array(post(model_url, body).json()["outputs"]["sum"], np.float32)
    np.testing.assert_array_equal(received, sent)


def test_status_and_metadata(model_url):
    expected = {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    assert requests.get(model_url).json() == expected
    assert requests.get(model_url + "/versions/1").json() == expected
    metadata = requests.get(model_url + "/versions/1/metadata").json()
    assert metadata["model_spec"] == {"name": "cells", "signature_name": "", "version": "1"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
    assert signature["inputs"]["image_bytes"]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}],
        "unknown_rank": False,
    }
    assert signature["method_name"] == "tensorflow/serving/predict"


def test_health(server):
    answer = requests.get(server.url + "/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "SERVING",
        "models": {"cells": [{"version": "1", "state": "AVAILABLE"}]},
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The document is empty"),
        (b"{", "JSON Parse error"),
        (b"\xff\xfe\x00", "JSON Parse error"),
        (b"[1]", "Is not object"),
        (b"[" * 100_000, "JSON Parse error"),
        (b'{"inputs": ' + b"[" * 900 + b"]" * 900 + b"}", "lists of a tensor must be of equal"),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"inputs": [1], "instances": [1]}, "expecting only one of 'inputs' or 'instances'"),
        ({"signature_name": 3, "inputs": [1]}, "'signature_name' key must be a string value"),
        ({"signature_name": "none", "inputs": [1]}, 'signature name: "none" not found'),
        ({"instances": {}}, "Expecting 'instances' to be a list"),
        ({"instances": []}, "No values in 'instances'"),
        ({"instances": [{"wrong": 1}]}, "keys must be equal to: image_bytes"),
        ({"instances": [{"b64": "AA=="}, {"image_bytes": "x"}]}, "but got object at item 1"),
        ({"instances": [{"image_bytes": "x"}, [1]]}, "Expecting object but got list at item 1"),
        ({"instances": [{"b64": "not base64!"}]}, "Unable to base64 decode"),
        ({"instances": [{"b64": 3}]}, "keys must be equal to: image_bytes"),
        ({"instances": [1]}, "not of expected type: string"),
        ({"instances": ["\ud800"]}, "not valid Unicode"),
        ({"instances": ["no image"]}, "Unknown image file format"),
        ({"signature_name": "pair", "instances": [1]}, "multiple input tensors required"),
        ({"signature_name": "pair", "inputs": [1]}, "multiple input tensors required"),
        ({"signature_name": "pair", "inputs": {"a": [1]}}, "Missing named input: b"),
        ({"signature_name": "pair", "inputs": {"a": ["1"], "b": [1]}}, "expected type: float32"),
        ({"signature_name": "pair", "inputs": {"a": [None], "b": [1]}}, "expected type: float32"),
        ({"signature_name": "pair", "inputs": {"a": [1, True], "b": [1]}}, "type: float32"),
        (
            {"signature_name": "pair", "inputs": {"a": [1e39], "b": [1]}},
            "without loss of precision",
        ),
        ({"signature_name": "pair", "inputs": {"a": [1], "b": [1.5]}}, "expected type: int32"),
        ({"signature_name": "pair", "inputs": {"a": [1], "b": [2**31]}}, "range"),
        ({"signature_name": "pair", "inputs": {"a": [1, 2], "b": [[1, 2]]}}, "has shape [1, 2]"),
        ({"signature_name": "pair", "inputs": {"a": [], "b": []}}, "is empty"),
        ({"signature_name": "classes", "inputs": [[[[1]], [[2], [3]]]]}, "of equal size"),
        ({"signature_name": "classes", "inputs": [[[[2**31]]]]}, "outside the range"),
        ({"signature_name": "tile", "inputs": [[[[0.5]]]]}, "expected (None, 32, 32, 1)"),
    ],
)
def test_wrong_bodies_are_refused_with_a_reason(model_url, body, message):
    answer = post(model_url, body)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert message in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "code", "message"),
    [
        ("POST", "/v1/models/nix:predict", 404, "Servable not found for request: Latest(nix)"),
        (
            "POST",
            "/v1/models/cells/versions/7:predict",
            404,
            "Servable not found for request: Specific(cells, 7)",
        ),
        ("POST", "/v1/models/cells/labels/new:predict", 400, "Unrecognized servable version label"),
        ("POST", "/v1/models/cells", 400, "Malformed request: POST /v1/models/cells"),
        ("PUT", "/v1/models/cells:predict", 400, "Malformed request: PUT"),
        ("DELETE", "/v1/models/cells", 400, "Malformed request: DELETE"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/nix", 404, "Could not find any versions of model nix"),
        ("GET", "/v1/models/cells/versions/7", 404, "Could not find version 7 of model cells"),
        ("GET", "/v1/models/nix/metadata", 404, "Servable not found for request: Latest(nix)"),
        ("GET", "/v1/models/cells/versions/" + "9" * 30, 400, "Failed to convert version: 999"),
    ],
)
def test_wrong_paths(server, method, path, code, message):
    answer = requests.request(method, server.url + path, data=b"{}" if method == "POST" else None)
    assert answer.status_code == code
    assert message in answer.json()["error"]


@pytest.mark.parametrize("method", ["POST", "BREW"])
def test_other_addresses_are_not_found(server, method):
    answer = requests.request(method, server.url + "/health")
    assert answer.status_code == 404
    assert "<TITLE>404 Not Found</TITLE>" in answer.text


def raw(server, data: bytes, wait: bool = True) -> bytes:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(data)
        received = b""
        while wait and (part := connection.recv(65536)):
            received += part
        return received


def test_what_is_not_http_gets_400_and_a_cut_connection_hurts_nobody(server, model_url):
    assert raw(server, b"\x16\x03\x01\x00\xa5\r\n\r\n").startswith(b"HTTP/1.1 400")
    head = (
        b"POST /v1/models/cells:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    )
    for _ in range(20):
        raw(server, head + b'{"instances"', wait=False)
    assert requests.get(model_url).status_code == 200
