"""What TensorFlow Serving answers to odd requests, as a table; the local endpoint is held to it.

The answers are those of `tensorflow_model_server` 2.20 as far as they were measured, and else what
its source says (json_tensor.cc, http_rest_api_util.cc, classifier.cc). Where `TF_SERVING_BINARY`
names the program, it is held to the table as well.
"""

from __future__ import annotations

import base64
import gzip
import json
import math

import cv2
import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from google.protobuf import text_format
from served_models import tensorflow_serving
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from keras_unet3p.endpoint import LocalServer

CONFIG = """
model_config_list {{
  config {{
    name: "cells"
    base_path: "{folder}"
    model_platform: "tensorflow"
    version_labels {{ key: "stable" value: 1 }}
  }}
}}
"""
HTML = "<H1>Not Found</H1>"
NUMBER_OF_19_DIGITS = "1" * 19
NUMBER_OF_20_DIGITS = "1" * 20


@pytest.fixture(scope="module", params=["local", "binary"])
def addresses(request, model_folder, tmp_path_factory):
    """The REST URL and the gRPC address of a server of "cells", whose version 1 is "stable"."""
    if request.param == "local":
        labels = {"cells": {"stable": 1}}
        with LocalServer({"cells": model_folder}, labels=labels) as server:
            yield server.url, server.grpc_address
        return
    file = tmp_path_factory.mktemp("config") / "models.config"
    file.write_text(CONFIG.format(folder=model_folder))
    flags = [
        f"--model_config_file={file}",
        "--allow_version_labels_for_unavailable_models",
    ]
    with tensorflow_serving("cells", *flags) as found:
        yield found


IMAGE = cv2.imencode(".png", np.zeros((1, 1), np.uint8))[1].tobytes()
# Two characters of padding belong at the end.
IMAGE += b"\0" * ((1 - len(IMAGE)) % 3)
PADDED = base64.b64encode(IMAGE).decode()
assert PADDED.endswith("==")


def rows(*values: object, **more: object) -> bytes:
    return json.dumps({**more, "instances": values}).encode()


def classes(values: str) -> bytes:
    return ('{"signature_name": "classes", "inputs": [[[[' + values + "]]]]}").encode()


def pair(a: str = "[1]", b: str = "[2]") -> bytes:
    return f'{{"signature_name": "pair", "inputs": {{"a": {a}, "b": {b}}}}}'.encode()


def sums(*values: float) -> dict:
    return {"outputs": {"sum": list(values), "text": ["2"] * len(values)}}


MASK = '"predictions"'
BLACK, WHITE = ({"outputs": [[[value]]]} for value in (0, 1))
GZIP = {"Content-Encoding": "gzip"}

# What the request is about -> body, headers, status, and the answer or a part of it.
PREDICT: dict[str, tuple] = {
    "base64": (rows({"b64": PADDED}), {}, 200, MASK),
    "base64 without padding": (rows({"b64": PADDED.rstrip("=")}), {}, 200, MASK),
    "base64 with one of two": (rows({"b64": PADDED[:-1]}), {}, 400, "Unable to base64 decode"),
    "base64 with a newline": (
        rows({"b64": PADDED[:9] + "\n" + PADDED[9:] + "\n"}),
        {},
        200,
        MASK,
    ),
    "base64 of one digit": (rows({"b64": "A"}), {}, 400, "Unable to base64 decode"),
    "base64 for the web": (rows({"b64": "-_-_"}), {}, 400, "Unable to base64 decode"),
    "300 as uint8 is 44": (classes("300"), {}, 200, BLACK),
    "-1 as uint8 is 255": (classes("-1"), {}, 200, WHITE),
    "the largest number that wraps": (classes("2147483647"), {}, 200, WHITE),
    "a number that does not wrap": (classes("2147483648"), {}, 400, "uint8"),
    "a decimal as uint8": (classes("1.0"), {}, 400, "uint8"),
    "true as uint8": (classes("true"), {}, 400, "uint8"),
    "an int32 of 33 bits": (pair(b="[2147483648]"), {}, 400, "int32"),
    "Inf": (pair("[Inf, -Inf, 1]", "[2, 2, 2]"), {}, 200, sums(math.inf, -math.inf, 3.0)),
    "Infinity": (pair("[Infinity, -Infinity]", "[2, 2]"), {}, 200, sums(math.inf, -math.inf)),
    "NaN": (pair("[NaN, -NaN]", "[2, 2]"), {}, 200, "NaN"),
    "the largest exact integer": (pair("[16777215]"), {}, 200, sums(16777216.0)),
    "an integer float32 may not hold": (pair("[16777216]"), {}, 400, "without loss of precision"),
    "a decimal float32 cannot hold": (pair("[1e39]"), {}, 400, "without loss of precision"),
    "a number nothing can hold": (pair("[1" + "0" * 400 + "]"), {}, 400, "Number too big"),
    "text after the document": (pair() + b" and more", {}, 200, sums(3.0)),
    "a second document": (pair() + b"{", {}, 200, sums(3.0)),
    "a byte order mark": (b"\xef\xbb\xbf" + pair(), {}, 200, sums(3.0)),
    "duplicate keys": (
        b'{"signature_name": "pair", "inputs": {"a": [1], "b": [2], "a": [5]}, "inputs": 3}',
        {},
        200,
        sums(3.0),
    ),
    "bytes that are not UTF-8": (b'{"instances": ["\xff"]}', {}, 400, "Unknown image file format"),
    "gzip": (gzip.compress(pair()), GZIP, 200, sums(3.0)),
    "gzip that is none": (pair(), GZIP, 400, "The document is empty"),
    "gzip that ends early": (gzip.compress(pair())[:-9], GZIP, 400, "The document is empty"),
    "gzip of too much": (
        gzip.compress(b" " * (100 * 2**20 + 1), 1),
        GZIP,
        400,
        "The document is empty",
    ),
    "no rows": (b'{"instances": []}', {}, 400, "No values in 'instances' array"),
    "no images": (b'{"inputs": []}', {}, 200, {"outputs": []}),
    "no body": (b"", {}, 400, "The document is empty"),
    "no object": (b"[1]", {}, 400, "Is not object"),
    "a scalar": (b'{"inputs": {"b64": ""}}', {}, 400, "error"),
    "another signature": (rows(1, signature_name="nope"), {}, 400, '"nope\\" not found'),
    "a signature that is a number": (rows(1, signature_name=3), {}, 400, "signature_name"),
    "no tensors": (b"{}", {}, 400, "Missing 'inputs' or 'instances' key"),
}


@pytest.mark.parametrize("about", PREDICT)
def test_predict(addresses, about):
    body, headers, status, meaning = PREDICT[about]
    url = f"{addresses[0]}/v1/models/cells:predict"
    answer = requests.post(url, data=body, headers=headers, timeout=60)
    check(answer, status, meaning)


STATUS = '"AVAILABLE"'
UNKNOWN = "Unrecognized servable version label"
EXAMPLES = b'{"examples": [{"x": 1}]}'

# Method, path, body, status, and a part of the answer.
PATHS: list[tuple] = [
    ("GET", "/v1/models/cells", b"", 200, STATUS),
    ("GET", "/v1/models/%63ells", b"", 200, STATUS),
    ("GET", "/v1/models/cells?x=1", b"", 404, "Could not find any versions of model cells?x=1"),
    ("GET", "/v1/models/cells/metadata?x=1", b"", 400, "Malformed request"),
    ("POST", "/v1/models/cells:predict?x=1", pair(), 400, "Malformed request"),
    ("POST", "/v1/models/cells:PREDICT", pair(), 400, "Malformed request"),
    ("POST", "/V1/MODELS/cells:predict", pair(), 400, "Malformed request"),
    ("GET", "/V1/MODELS/cells", b"", 400, "Malformed request"),
    ("GET", "/v1/models/cells/Metadata", b"", 400, "Malformed request"),
    ("POST", "/v1/models/cells", pair(), 400, "Malformed request"),
    ("PUT", "/v1/models/cells:predict", pair(), 400, "Malformed request"),
    ("HEAD", "/v1/models/cells", b"", 400, ""),
    ("OPTIONS", "/v1/models/cells:predict", b"", 400, ""),
    ("GET", "/v1/models", b"", 400, "Missing model name"),
    ("GET", "/v1/", b"", 400, "Malformed request"),
    ("GET", "/v1", b"", 404, HTML),
    ("GET", "/v2/models/cells", b"", 404, HTML),
    ("GET", "/favicon.ico", b"", 404, HTML),
    # Versions
    (
        "POST",
        f"/v1/models/cells/versions/{NUMBER_OF_19_DIGITS}:predict",
        pair(),
        404,
        f"Servable not found for request: Specific(cells, {NUMBER_OF_19_DIGITS})",
    ),
    ("POST", f"/v1/models/cells/versions/{NUMBER_OF_20_DIGITS}:predict", pair(), 400, ""),
    ("POST", f"/v1/models/cells/versions/{2**63}:predict", pair(), 400, ""),
    ("GET", f"/v1/models/cells/versions/{NUMBER_OF_20_DIGITS}", b"", 400, ""),
    ("GET", f"/v1/models/cells/versions/{'9' * 5000}", b"", 400, ""),
    ("POST", f"/v1/models/cells/versions/{'0' * 40}1:predict", pair(), 200, "outputs"),
    ("GET", "/v1/models/cells/versions/7", b"", 404, "Could not find version 7 of model cells"),
    ("GET", "/v1/models/cells/versions/x", b"", 400, "Malformed request"),
    # Labels
    ("POST", "/v1/models/cells/labels/stable:predict", pair(), 200, "outputs"),
    ("POST", "/v1/models/cells/labels/new:predict", pair(), 400, UNKNOWN),
    ("GET", "/v1/models/cells/labels/new/metadata", b"", 400, UNKNOWN),
    ("GET", "/v1/models/cells/labels/new", b"", 200, STATUS),
    # The document is parsed before the model is looked up.
    ("POST", "/v1/models/nix:predict", b"{", 400, "JSON Parse error"),
    ("POST", "/v1/models/nix:predict", rows(1, signature_name=3), 400, "signature_name"),
    ("POST", "/v1/models/nix:predict", b"{}", 404, "Servable not found for request: Latest(nix)"),
    ("POST", "/v1/models/cells/labels/new:predict", b"{", 400, "JSON Parse error"),
    # Methods of other models
    ("POST", "/v1/models/cells:classify", EXAMPLES, 400, "No classification inputs found"),
    ("POST", "/v1/models/cells:regress", EXAMPLES, 400, "No regression inputs found"),
    ("POST", "/v1/models/cells:classify", b"{", 400, "JSON Parse error"),
    ("POST", "/v1/models/cells:classify", b"{}", 400, "examples"),
    ("POST", "/v1/models/nix:regress", EXAMPLES, 404, "Servable not found"),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "meaning"),
    PATHS,
    ids=[f"{method} {path[:60]}" for method, path, *_ in PATHS],
)
def test_paths(addresses, method, path, body, status, meaning):
    answer = requests.request(method, addresses[0] + path, data=body or None, timeout=60)
    check(answer, status, meaning)
    html = meaning == HTML or method == "OPTIONS"
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind == ("text/html" if html else "application/json")


def check(answer: requests.Response, status: int, meaning: str | dict) -> None:
    assert answer.status_code == status, answer.text[:500]
    if isinstance(meaning, dict):
        assert answer.json() == meaning
    else:
        assert meaning in answer.text
    if status != 200 and answer.text and not answer.text.startswith("<"):
        assert list(answer.json()) == ["error"]


def tensor(proto: str) -> str:
    return f'inputs {{ key: "a" value {{ {proto} }} }}'


CELLS = 'model_spec { name: "cells" }'
PAIR = 'model_spec { name: "cells" signature_name: "pair" }'
A = tensor("dtype: DT_FLOAT tensor_shape { dim { size: 1 } } float_val: 1")
B = A.replace('"a"', '"b"').replace("DT_FLOAT", "DT_INT32").replace("float_val", "int_val")
FIELD = 'metadata_field: "signature_def"'
LABEL = 'model_spec { name: "cells" version_label: "new" }'

# Method, the request in text form, and the code.
CALLS: list[tuple[str, str, str]] = [
    ("Predict", f"{PAIR} {A} {B}", "OK"),
    ("Predict", f"{PAIR} {A} {B} output_filter: 'sum'", "OK"),
    ("Predict", f"{PAIR} {A} {B} output_filter: 'sum' output_filter: 'sum'", "INVALID_ARGUMENT"),
    ("Predict", f"{PAIR} {A}", "INVALID_ARGUMENT"),
    ("Predict", "", "INVALID_ARGUMENT"),
    ("Predict", 'model_spec { name: "cells" signature_name: "nope" }', "FAILED_PRECONDITION"),
    ("Predict", 'model_spec { name: "nix" }', "NOT_FOUND"),
    ("Predict", 'model_spec { name: "cells" version { value: 7 } }', "NOT_FOUND"),
    ("Predict", 'model_spec { name: "cells" version { value: -1 } }', "NOT_FOUND"),
    ("Predict", LABEL, "INVALID_ARGUMENT"),
    ("GetModelMetadata", f"{CELLS} {FIELD}", "OK"),
    ("GetModelMetadata", f"{CELLS} {FIELD} {FIELD}", "OK"),
    ("GetModelMetadata", CELLS, "INVALID_ARGUMENT"),
    ("GetModelMetadata", f"{CELLS} {FIELD} metadata_field: 'assets'", "INVALID_ARGUMENT"),
    ("GetModelMetadata", f"{LABEL} {FIELD}", "INVALID_ARGUMENT"),
    ("GetModelMetadata", f'model_spec {{ name: "nix" }} {FIELD}', "NOT_FOUND"),
    ("GetModelStatus", CELLS, "OK"),
    ("GetModelStatus", LABEL, "OK"),
    ("GetModelStatus", "", "INVALID_ARGUMENT"),
    ("GetModelStatus", 'model_spec { name: "nix" }', "NOT_FOUND"),
    ("Classify", CELLS, "INVALID_ARGUMENT"),
    ("Regress", CELLS, "INVALID_ARGUMENT"),
    ("Classify", 'model_spec { name: "nix" }', "NOT_FOUND"),
    ("HandleReloadConfigRequest", "", "INVALID_ARGUMENT"),
]
REQUESTS = {
    "Predict": predict_pb2.PredictRequest,
    "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelStatus": get_model_status_pb2.GetModelStatusRequest,
    "Classify": classification_pb2.ClassificationRequest,
    "Regress": regression_pb2.RegressionRequest,
    "HandleReloadConfigRequest": model_management_pb2.ReloadConfigRequest,
}


@pytest.fixture(scope="module")
def channel(addresses):
    with grpc.insecure_channel(addresses[1]) as channel:
        yield channel


def code_of(call, request) -> tuple[str, str]:
    try:
        call(request, timeout=30)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


@pytest.mark.parametrize(("method", "request_text", "code"), CALLS)
def test_grpc(channel, method, request_text, code):
    model_service = method in ("GetModelStatus", "HandleReloadConfigRequest")
    stub = (
        model_service_pb2_grpc.ModelServiceStub
        if model_service
        else prediction_service_pb2_grpc.PredictionServiceStub
    )(channel)
    message = text_format.Parse(request_text, REQUESTS[method]())
    found, details = code_of(getattr(stub, method), message)
    assert found == code, details


def test_grpc_bytes_that_are_no_message(channel):
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    assert code_of(call, b"\xff" * 50)[0] == "INTERNAL"


def test_grpc_status_of_an_unknown_label_is_that_of_all_versions(channel):
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    message = text_format.Parse(LABEL, get_model_status_pb2.GetModelStatusRequest())
    found = stub.GetModelStatus(message, timeout=30)
    assert [status.version for status in found.model_version_status] == [1]


def test_grpc_sums(channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    message = text_format.Parse(f"{PAIR} {A} {B}", predict_pb2.PredictRequest())
    found = stub.Predict(message, timeout=30)
    np.testing.assert_array_equal(tf.make_ndarray(found.outputs["sum"]), [2.0])
