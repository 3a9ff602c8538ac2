"""PredictionService, ModelService and health checks over gRPC."""

from __future__ import annotations

import time
from concurrent import futures

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.endpoint.byte_budget import ByteBudget
from keras_unet3p.endpoint.predict_service import PredictService, outcome
from keras_unet3p.endpoint.served_version import ServedVersion
from keras_unet3p.endpoint.tensor_protos import array_from_proto


def grpc_server(
    service: PredictService, address: str, threads: futures.ThreadPoolExecutor
) -> tuple[grpc.Server, int, health.HealthServicer]:
    """Makes a gRPC server that is bound to its port but not started.

    Args:
        service: the state of the endpoint.
        address: "host:port"; port 0 takes a free one.
        threads: the threads that handle requests. They must be more than the places in the queue,
            so that some are left to answer status and health and to refuse requests. The caller
            shuts them down after the server.

    Returns:
        The server, its port, and the health service.

    Raises:
        OSError: if the address cannot be bound.
    """
    server = grpc.server(
        threads,
        options=[
            ("grpc.max_receive_message_length", service.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=1024,
        interceptors=[_HandleMessages(service.held)],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(service), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(service), server)
    health_service = health.HealthServicer()
    health_service.set(
        "tensorflow.serving.PredictionService", health_pb2.HealthCheckResponse.SERVING
    )
    health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    if not port:
        raise OSError(f"Cannot bind the gRPC address {address}.")
    return server, port, health_service


def metadata_response(service: PredictService, name: str, version: int | None, label: str | None):
    """Returns the GetModelMetadataResponse of a version: its number and its signatures.

    Raises:
        EndpointError: NOT_FOUND, or INVALID_ARGUMENT for an unknown label.
    """
    with service.repository.using(name, version, label) as served:
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = served.name
        response.model_spec.version.value = served.version
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for key, signature in served.signatures.items():
            signatures.signature_def[key].CopyFrom(signature)
    response.metadata["signature_def"].Pack(signatures)
    return response


def status_response(service: PredictService, name: str, version: int | None):
    """Returns the GetModelStatusResponse of a model, or of one of its versions.

    Raises:
        EndpointError: NOT_FOUND.
    """
    response = get_model_status_pb2.GetModelStatusResponse()
    for number, state, code, message in service.repository.status(name, version):
        status = response.model_version_status.add(version=number)
        status.state = get_model_status_pb2.ModelVersionStatus.State.Value(state)
        status.status.error_code = getattr(grpc.StatusCode, code).value[0]
        status.status.error_message = message
    return response


def _choice(spec) -> tuple[str, int | None, str | None]:
    if not spec.name:
        raise EndpointError("INVALID_ARGUMENT", "Missing model name in request.")
    choice = spec.WhichOneof("version_choice")
    return (
        spec.name,
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
    )


class _HandleMessages(grpc.ServerInterceptor):
    """Runs the handlers: parses requests, counts their bytes and answers errors.

    Handlers return their response or an EndpointError, or raise one.

    Requests are parsed here because gRPC's own server never frees the memory of a message that does
    not parse. Messages count towards the byte budget while they are
    handled. gRPC has already read them by then, but at most as many at a time as it has threads.
    """

    def __init__(self, held: ByteBudget):
        self._held = held

    def intercept_service(self, continuation, handler_call_details):
        handler = continuation(handler_call_details)
        if handler is None or not handler.unary_unary or not handler.request_deserializer:
            return handler
        parse, run = handler.request_deserializer, handler.unary_unary

        def handle(data: bytes, context: grpc.ServicerContext):
            self._held.take(len(data))
            try:
                return run(parse(data), context)
            except DecodeError:
                raise EndpointError("INTERNAL", "The request does not parse.") from None
            except NotImplementedError:  # from the generated base classes
                raise EndpointError("UNIMPLEMENTED", "This method is not implemented.") from None
            finally:
                self._held.give_back(len(data))

        def answer(data: bytes, context: grpc.ServicerContext):
            found = outcome(lambda: handle(data, context))
            if isinstance(found, EndpointError):
                code = getattr(grpc.StatusCode, found.code, grpc.StatusCode.UNKNOWN)
                context.abort(code, found.message)
            return found

        return grpc.unary_unary_rpc_method_handler(
            answer, response_serializer=handler.response_serializer
        )


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, service: PredictService):
        self._service = service

    def Predict(self, request, context):
        service = self._service
        deadline = service.deadline(context.time_remaining())
        future = service.submit(lambda: _predict(service, request, deadline), deadline)
        # A waiting request leaves the queue when its client disconnects.
        gone = EndpointError("CANCELLED", "The client closed the connection.")
        context.add_callback(lambda: service.work.withdraw(future, gone))
        try:
            return future.result(max(0.0, deadline - time.monotonic()))
        except (TimeoutError, futures.TimeoutError):
            late = EndpointError("DEADLINE_EXCEEDED", "The deadline passed.")
            service.work.withdraw(future, late)
            return late

    def Classify(self, request, context):
        with self._service.repository.using(*_choice(request.model_spec)) as served:
            served.run_examples(request.model_spec.signature_name, "classification")

    def Regress(self, request, context):
        with self._service.repository.using(*_choice(request.model_spec)) as served:
            served.run_examples(request.model_spec.signature_name, "regression")

    def GetModelMetadata(self, request, context):
        if set(request.metadata_field) != {"signature_def"}:
            raise EndpointError(
                "INVALID_ARGUMENT",
                'GetModelMetadataRequest must specify the metadata_field "signature_def", '
                "and no other.",
            )
        return metadata_response(self._service, *_choice(request.model_spec))


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, service: PredictService):
        self._service = service

    def GetModelStatus(self, request, context):
        # A label chooses nothing here, in TensorFlow Serving either.
        name, version, _ = _choice(request.model_spec)
        return status_response(self._service, name, version)

    def HandleReloadConfigRequest(self, request, context):
        if not request.config.HasField("model_config_list"):
            raise EndpointError(
                "INVALID_ARGUMENT",
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported",
            )
        # A client must not choose the folders of this machine that are served.
        raise EndpointError("UNIMPLEMENTED", "This endpoint takes no configuration from clients.")


def _predict(service: PredictService, request, deadline: float):
    with service.repository.using(*_choice(request.model_spec)) as served:
        return _run(service, served, request, deadline)


def _run(service: PredictService, served: ServedVersion, request, deadline: float):
    signature_name = request.model_spec.signature_name
    signature = served.signature(signature_name)
    inputs = {
        key: array_from_proto(proto, key, service.max_request_bytes)
        for key, proto in request.inputs.items()
    }
    outputs = served.run(signature_name, inputs, request.output_filter, deadline)
    response = predict_pb2.PredictResponse()
    response.model_spec.name = served.name
    response.model_spec.version.value = served.version
    response.model_spec.signature_name = signature_name or "serving_default"
    for alias, array in outputs.items():
        proto = tf.make_tensor_proto(array, signature.outputs[alias].dtype, array.shape)
        response.outputs[alias].CopyFrom(proto)
    return response
