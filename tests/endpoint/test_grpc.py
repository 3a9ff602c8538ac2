"""The gRPC API, called through the official definitions."""

from __future__ import annotations

import time

import cv2
import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.grpc_address) as channel:
        yield channel


@pytest.fixture(scope="module")
def predict(channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def call(signature="", model="cells", output_filter=(), version=None, timeout=20, **inputs):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        if version is not None:
            request.model_spec.version.value = version
        request.output_filter.extend(output_filter)
        for name, value in inputs.items():
            proto = value if hasattr(value, "SerializeToString") else tf.make_tensor_proto(value)
            request.inputs[name].CopyFrom(proto)
        return stub.Predict(request, timeout=timeout)

    return call


def refused(call, *args, **kwargs) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **kwargs)
    return caught.value.code(), caught.value.details()


def test_predict_bytes(predict):
    image = np.random.default_rng(0).integers(0, 256, (33, 47), np.uint8)
    answer = predict(image_bytes=[cv2.imencode(".png", image)[1].tobytes()])
    assert answer.model_spec.name == "cells"
    assert answer.model_spec.version.value == 1
    assert answer.model_spec.signature_name == "serving_default"
    mask = cv2.imdecode(np.frombuffer(answer.outputs["mask_bytes"].string_val[0], np.uint8), -1)
    np.testing.assert_array_equal(mask, image >= 128)


def test_predict_arrays_and_output_filter(predict):
    image = np.random.default_rng(0).integers(0, 256, (2, 9, 8, 1), np.uint8)
    answer = predict("classes", image=image, version=1)
    np.testing.assert_array_equal(
        tf.make_ndarray(answer.outputs["class_ids"]), image[..., 0] >= 128
    )
    a, b = np.float32([1, 2]), np.int32([3, 4])
    assert set(predict("pair", a=a, b=b).outputs) == {"sum", "text"}
    assert set(predict("pair", a=a, b=b, output_filter=["sum"]).outputs) == {"sum"}


def bomb(dtype: int, shape: list[int], content: bytes = b""):
    proto = tf.make_tensor_proto(np.float32([1.0]))
    proto.tensor_content = content
    proto.dtype = dtype
    del proto.tensor_shape.dim[:]
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"signature": "nix"}, "FAILED_PRECONDITION", 'signature key "nix" not found.'),
        ({"model": "nix"}, "NOT_FOUND", "Servable not found for request: Latest(nix)"),
        ({"model": ""}, "INVALID_ARGUMENT", "Missing model name"),
        ({"version": 9}, "NOT_FOUND", "Specific(cells, 9)"),
        ({}, "INVALID_ARGUMENT", "expected to be in the set {image_bytes}"),
        ({"other": [b"x"]}, "INVALID_ARGUMENT", "expected to be in the set {image_bytes}"),
        ({"image_bytes": [1.0]}, "INVALID_ARGUMENT", "has type float32, expected string"),
        ({"image_bytes": [[b"x"]]}, "INVALID_ARGUMENT", "has shape [1, 1]"),
        ({"image_bytes": [b"x"]}, "INVALID_ARGUMENT", "Unknown image file format"),
        (
            {"signature": "pair", "a": np.float32([1]), "b": np.float32([1])},
            "INVALID_ARGUMENT",
            "Input 'b' has type float32, expected int32",
        ),
        (
            {
                "signature": "pair",
                "a": np.float32([1]),
                "b": np.int32([1]),
                "output_filter": ["x"],
            },
            "INVALID_ARGUMENT",
            "output tensor alias not found",
        ),
        (
            {"signature": "tile", "tile": bomb(1, [1 << 20, 1 << 20])},
            "INVALID_ARGUMENT",
            "larger than",
        ),
        ({"signature": "tile", "tile": bomb(1, [-1, 2])}, "INVALID_ARGUMENT", "full shape"),
        (
            {"signature": "tile", "tile": bomb(1, [3, 2], b"1234")},
            "INVALID_ARGUMENT",
            "do not fit shape",
        ),
        ({"signature": "tile", "tile": bomb(99, [1])}, "INVALID_ARGUMENT", "unknown type"),
        ({"signature": "tile", "tile": bomb(21, [1])}, "INVALID_ARGUMENT", ""),
    ],
)
def test_wrong_requests(predict, arguments, code, message):
    found, details = refused(predict, **arguments)
    assert found.name == code, details
    assert message in details


def test_deadline(predict, server):
    begin = time.monotonic()
    code, _ = refused(predict, "spin", seconds=np.float64([60.0]), timeout=0.5)
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    # The run itself ends too and does not hold a worker for the whole minute.
    assert server._service.work.wait_until_idle(20)
    assert time.monotonic() - begin < 30


def test_metadata(channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "cells"
    answer = stub.GetModelMetadata(request, timeout=10)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert answer.model_spec.version.value == 1
    assert set(signatures.signature_def["tile"].outputs) == {"probabilities"}
    request.metadata_field[:] = ["assets"]
    assert refused(stub.GetModelMetadata, request)[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_status_and_reload(channel):
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "cells"
    (status,) = stub.GetModelStatus(request, timeout=10).model_version_status
    assert (status.version, status.state) == (1, status.AVAILABLE)
    assert status.status.error_code == 0
    request.model_spec.name = "nix"
    assert refused(stub.GetModelStatus, request)[0] == grpc.StatusCode.NOT_FOUND
    reload = model_management_pb2.ReloadConfigRequest()
    reload.config.model_config_list.config.add(name="cells", base_path="/elsewhere")
    assert refused(stub.HandleReloadConfigRequest, reload)[0] == grpc.StatusCode.UNIMPLEMENTED


def test_health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "tensorflow.serving.PredictionService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_garbage_instead_of_a_message_is_an_error_and_nothing_worse(channel, predict):
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    for data in (b"\xff" * 50, b"\x0a\xff\xff\xff\xff\x0f"):
        code, _ = refused(call, data, timeout=10)
        assert code == grpc.StatusCode.INTERNAL
    assert predict("special", a=np.float32([1])).outputs
