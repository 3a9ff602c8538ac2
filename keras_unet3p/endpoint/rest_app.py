"""TensorFlow Serving's REST API as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import unquote

from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from keras_unet3p.artifacts.model_versions import LARGEST_VERSION
from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.endpoint import json_tensors
from keras_unet3p.endpoint.compression import unzipped
from keras_unet3p.endpoint.grpc_services import metadata_response, status_response
from keras_unet3p.endpoint.page_answers import model_card, page_image, page_models
from keras_unet3p.endpoint.page_assets import page_asset
from keras_unet3p.endpoint.predict_service import PredictService, shutting_down
from keras_unet3p.endpoint.queued_call import queued_call
from keras_unet3p.endpoint.request_body import RequestBody
from keras_unet3p.endpoint.request_guard import RequestGuard

_CHOICE = r"(?:/versions/([0-9]+)|/labels/([^/:]+))?"
_PREDICT = re.compile(rf"/v1/models/([^/:]+){_CHOICE}:(classify|regress|predict)")
_STATUS = re.compile(rf"/v1/models(?:/([^/:]+))?{_CHOICE}(?:/(metadata))?")
_EXAMPLES = {"classify": "classification", "regress": "regression"}
_NOT_FOUND = """<HTML><HEAD>
<TITLE>404 Not Found</TITLE>
</HEAD><BODY>
<H1>Not Found</H1>
</BODY></HTML>
"""


def rest_app(service: PredictService, hosts: Iterable[str] = ()) -> ASGIApp:
    """Builds the application: /v1/models/..., /health, and the page at / with what is below /page.

    Args:
        service: the state of the endpoint.
        hosts: names under which the server is reached; see `RequestGuard`.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = scope["raw_path"].decode("latin-1")
        if path.lower().startswith("/v1/"):
            if scope["query_string"]:  # to TensorFlow Serving it is a part of the path
                path += "?" + scope["query_string"].decode("latin-1")
            response = await _answer(service, request, path)
        else:
            response = await _beside(service, request, path)
        await response(scope, receive, send)

    return RequestGuard(app, hosts)


async def _beside(service: PredictService, request: Request, path: str) -> Response:
    """The answers that TensorFlow Serving lacks: the state, and the page with what it asks for."""
    response = None
    if request.method in ("GET", "HEAD"):
        if path == "/health":
            return _health(service)
        if path == "/page/models":
            return JSONResponse(page_models(service), headers={"Cache-Control": "no-store"})
        if path == "/page/card":
            return _card(service, request)
        response = page_asset(request, path)
    elif request.method == "POST" and path == "/page/image":
        return await _or_refusal(service, request, lambda body: page_image(service, body, request))
    return HTMLResponse(_NOT_FOUND, 404) if response is None else response


async def _answer(service: PredictService, request: Request, path: str) -> Response:
    async def answer(body: RequestBody) -> Response:
        if request.method == "POST" and (match := _PREDICT.fullmatch(path)):
            return await _predict(service, body, request, match)
        if request.method == "GET" and (match := _STATUS.fullmatch(path)):
            return _status(service, match)
        if request.method == "OPTIONS":
            return HTMLResponse(b"", 400)
        raise EndpointError("INVALID_ARGUMENT", f"Malformed request: {request.method} {path[:200]}")

    return await _or_refusal(service, request, answer)


async def _or_refusal(
    service: PredictService,
    request: Request,
    answer: Callable[[RequestBody], Awaitable[Response]],
) -> Response:
    """The answer to a request, or that to the error which it ends with."""
    body = RequestBody(request, service)
    try:
        return await answer(body)
    except EndpointError as error:
        body.release()
        await body.discard()
        return _refusal(error)
    except asyncio.CancelledError:
        # The server ends now; its grace period is over.
        body.release()
        return _refusal(shutting_down())


def _card(service: PredictService, request: Request) -> Response:
    try:
        found = model_card(service, request.query_params)
    except EndpointError as error:
        return _refusal(error)
    return JSONResponse(found, headers={"Cache-Control": "no-store"})


def _health(service: PredictService) -> Response:
    models = {
        name: [
            {"version": str(version), "state": state}
            for version, state, _, _ in service.repository.status(name)
        ]
        for name in service.repository.names
    }
    state = "NOT_SERVING" if service.draining else "SERVING"
    return JSONResponse({"status": state, "models": models}, 503 if service.draining else 200)


async def _predict(service: PredictService, body: RequestBody, request: Request, match: re.Match):
    name, version, label = _choice(match)
    deadline = service.deadline()
    # A request takes a place in the queue only when it is complete.
    text = await body.read(min(deadline, time.monotonic() + service.receive_timeout))
    zipped = "gzip" in request.headers.get("content-encoding", "")

    def call() -> tuple[bytes, int]:
        with unzipped(text, service) if zipped else contextlib.nullcontext(text) as plain:
            document, signature_name = json_tensors.parse_document(plain, service.max_json_values)
        if match[4] in _EXAMPLES:
            json_tensors.check_examples(document)
        # The model is looked up when the document is known to be JSON, not before.
        with service.repository.using(name, version, label) as served:
            if match[4] in _EXAMPLES:
                served.run_examples(signature_name, _EXAMPLES[match[4]])
            inputs, rows = json_tensors.read_inputs(document, served.input_types(signature_name))
            outputs = served.run(signature_name, inputs, deadline=deadline)
        return json_tensors.format_answer(outputs, rows), served.version

    answer = await queued_call(service, request, call, deadline, body.release)
    if isinstance(answer, EndpointError):
        return _refusal(answer)
    content, used = answer
    return Response(content, media_type="application/json", headers={"Model-Version": str(used)})


def _refusal(error: EndpointError) -> Response:
    return JSONResponse({"error": error.message}, error.http_status)


def _choice(match: re.Match) -> tuple[str, int | None, str | None]:
    name, digits, label = match.groups()[:3]
    version = None
    if digits:
        # One digit more than the largest version has is enough to tell that it is too large.
        version = int(digits.lstrip("0")[:20] or 0)
        if version > LARGEST_VERSION:
            raise EndpointError(
                "INVALID_ARGUMENT", f"Failed to convert version: {digits[:100]} to numeric."
            )
    return unquote(name), version, unquote(label) if label else None


def _status(service: PredictService, match: re.Match) -> Response:
    if not match[1]:
        raise EndpointError("INVALID_ARGUMENT", "Missing model name in request.")
    name, version, label = _choice(match)
    if not match[4]:
        # A label chooses nothing here, in TensorFlow Serving either.
        return JSONResponse(_message_to_dict(status_response(service, name, version)))
    answer = _message_to_dict(metadata_response(service, name, version, label))
    del answer["metadata"]["signature_def"]["@type"]
    return JSONResponse(answer)


def _message_to_dict(message) -> dict:
    # The option that prints empty fields was renamed in protobuf 26.
    parameters = inspect.signature(json_format.MessageToDict).parameters
    new = "always_print_fields_with_no_presence"
    options: dict = {new if new in parameters else "including_default_value_fields": True}
    return json_format.MessageToDict(message, preserving_proto_field_name=True, **options)
