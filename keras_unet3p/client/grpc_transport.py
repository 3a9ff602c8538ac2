"""A client's requests over gRPC, without TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np

from keras_unet3p.client import messages
from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.client.signature_header import SIGNATURE_HEADER
from keras_unet3p.client.tensor_types import NAME_OF_TYPE, fill_tensor_proto, read_tensor_proto

_STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}
_METHODS = {
    "Predict": ("PredictionService", "PredictResponse"),
    "GetModelMetadata": ("PredictionService", "GetModelMetadataResponse"),
    "GetModelStatus": ("ModelService", "GetModelStatusResponse"),
}


class GrpcTransport:
    """Sends requests to one model of an endpoint. May be used from several threads.

    Args:
        url: "grpc://host:port", or "grpcs://host:port" with TLS.
        model: name of the model; None is "model", the default of TensorFlow Serving's container
            image.
        version: number of a version.
        label: label of a version.
        use_proxy: whether the proxy named by the environment is used.
        max_message_bytes: largest answer; gRPC's own default is 4 MiB.
        headers: go with every request, as metadata.
        ca_file: certificates that are trusted instead of the system's.
    """

    def __init__(
        self,
        url: str,
        model: str | None,
        version: int | None,
        label: str | None,
        use_proxy: bool,
        max_message_bytes: int,
        headers: dict[str, str],
        ca_file: str | os.PathLike[str] | None,
    ):
        parts = urlsplit(url)
        options = [
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_http_proxy", int(use_proxy)),
            # `Client` repeats requests itself.
            ("grpc.enable_retries", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ]
        if parts.scheme == "grpcs":
            roots = None if ca_file is None else Path(ca_file).read_bytes()
            credentials = grpc.ssl_channel_credentials(roots)
            self._channel = grpc.secure_channel(parts.netloc, credentials, options)
        else:
            self._channel = grpc.insecure_channel(parts.netloc, options)
        self._spec = messages.new("ModelSpec", name=model or "model")
        if version is not None:
            self._spec.version.value = version
        elif label is not None:
            self._spec.version_label = label
        self._metadata = tuple((name.lower(), value) for name, value in headers.items())
        self._calls = {
            method: self._channel.unary_unary(
                f"/tensorflow.serving.{service}/{method}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=messages.parser(answer),
            )
            for method, (service, answer) in _METHODS.items()
        }

    def _call(self, method: str, request, timeout: float, **headers: str):
        metadata = (*headers.items(), *self._metadata)
        try:
            return self._calls[method](request, timeout=max(timeout, 0.001), metadata=metadata)
        except grpc.RpcError as error:
            raise EndpointError(error.code().name, error.details() or "") from error

    def predict(
        self,
        signature: str,
        inputs: dict[str, np.ndarray],
        output: str,
        dtype: str,
        timeout: float,
    ) -> np.ndarray:
        """Runs a signature and returns its output `output`, in the type of the answer."""
        request = messages.new("PredictRequest", model_spec=self._spec)
        request.model_spec.signature_name = signature
        request.output_filter.append(output)  # nothing else is computed or sent
        for name, array in inputs.items():
            fill_tensor_proto(request.inputs[name], array)
        answer = self._call("Predict", request, timeout, **{SIGNATURE_HEADER: signature})
        return read_tensor_proto(answer.outputs[output])

    def status(self, timeout: float) -> list[dict[str, Any]]:
        """Returns the versions' states."""
        request = messages.new("GetModelStatusRequest", model_spec=self._spec)
        answer = self._call("GetModelStatus", request, timeout)
        return [
            {
                "version": item.version,
                "state": _STATES.get(item.state, str(item.state)),
                "error_code": _CODES.get(item.status.error_code, str(item.status.error_code)),
                "error_message": item.status.error_message,
            }
            for item in answer.model_version_status
        ]

    def card(self, timeout: float) -> None:
        """Returns nothing: there is no call for the model card."""

    def metadata(self, timeout: float) -> dict[str, Any]:
        """Returns the signatures."""
        request = messages.new("GetModelMetadataRequest", model_spec=self._spec)
        request.metadata_field.append("signature_def")
        answer = self._call("GetModelMetadata", request, timeout)
        signatures = messages.new("SignatureDefMap")
        signatures.ParseFromString(answer.metadata["signature_def"].value)

        def side(tensors) -> dict:
            return {
                name: {
                    "dtype": NAME_OF_TYPE.get(info.dtype, str(info.dtype)),
                    "shape": None
                    if info.tensor_shape.unknown_rank
                    else [dim.size for dim in info.tensor_shape.dim],
                }
                for name, info in tensors.items()
            }

        return {
            "model": answer.model_spec.name,
            "version": answer.model_spec.version.value,
            "signatures": {
                name: {"inputs": side(signature.inputs), "outputs": side(signature.outputs)}
                for name, signature in signatures.signature_def.items()
                if not name.startswith("__")
            },
        }

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()
