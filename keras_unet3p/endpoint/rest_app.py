"""TensorFlow Serving's REST API as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import time
from collections.abc import Iterable
from importlib import resources
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
from keras_unet3p.endpoint.predict_service import PredictService, shutting_down
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
# A refused body is read and discarded up to this many times the accepted size, so that the client
# receives the answer instead of a reset connection.
_DISCARD = 8
_DISCARD_SECONDS = 10.0


def rest_app(service: PredictService, hosts: Iterable[str] = ()) -> ASGIApp:
    """Builds the application: /v1/models/..., /health, and the page at /.

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
        elif request.method in ("GET", "HEAD") and path in _PAGES:
            response = _PAGES[path](service)
        else:
            response = HTMLResponse(_NOT_FOUND, 404)
        await response(scope, receive, send)

    return RequestGuard(app, hosts)


async def _answer(service: PredictService, request: Request, path: str) -> Response:
    body = _Body(request, service)
    try:
        if request.method == "POST" and (match := _PREDICT.fullmatch(path)):
            return await _predict(service, body, request, match)
        if request.method == "GET" and (match := _STATUS.fullmatch(path)):
            return _status(service, match)
        if request.method == "OPTIONS":
            return HTMLResponse(b"", 400)
        raise EndpointError("INVALID_ARGUMENT", f"Malformed request: {request.method} {path[:200]}")
    except EndpointError as error:
        body.release()
        await body.discard()
        return _refusal(error)
    except asyncio.CancelledError:
        # The server ends now; its grace period is over.
        body.release()
        return _refusal(shutting_down())


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


def _page(service: PredictService) -> Response:
    return HTMLResponse(
        resources.files("keras_unet3p.endpoint").joinpath("page.html").read_text("utf-8"),
        headers={
            "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; "
            "style-src 'unsafe-inline'; img-src blob: data:; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
        },
    )


_PAGES = {"/": _page, "/health": _health}


class _Body:
    """The body of a request, which is read or discarded within limits."""

    def __init__(self, request: Request, service: PredictService):
        self._request = request
        self._limit = service.max_request_bytes
        self._budget = service.held
        self._held = bytearray()
        self._size = 0
        self._finished = request.method in ("GET", "HEAD")
        length = request.headers.get("content-length", "")
        self._length = int(length) if length.isdigit() else 0

    async def _next(self, deadline: float) -> bytes:
        try:
            message = await asyncio.wait_for(
                self._request.receive(), max(0.0, deadline - time.monotonic())
            )
        except asyncio.TimeoutError:
            self._finished = True
            raise EndpointError(
                "DEADLINE_EXCEEDED", "The deadline passed before the whole request had arrived."
            ) from None
        if message["type"] != "http.request":
            self._finished = True
            raise EndpointError("CANCELLED", "The client closed the connection.")
        self._finished = not message.get("more_body", False)
        chunk = message.get("body", b"")
        self._size += len(chunk)
        return chunk

    async def read(self, deadline: float) -> bytearray:
        """Returns the whole body, which counts towards the byte budget until `release`.

        Raises:
            EndpointError: INVALID_ARGUMENT (413) if it is too large, RESOURCE_EXHAUSTED if all
                bodies together are, DEADLINE_EXCEEDED, CANCELLED if the client disconnects.
        """
        while not self._finished and max(self._size, self._length) <= self._limit:
            chunk = await self._next(deadline)
            self._budget.take(len(chunk))
            self._held += chunk
        if max(self._size, self._length) > self._limit:
            raise EndpointError(
                "INVALID_ARGUMENT", f"The request body is larger than {self._limit} bytes.", 413
            )
        return self._held

    def release(self) -> None:
        """Frees the body. Further calls do nothing."""
        held, self._held = self._held, bytearray()
        self._budget.give_back(len(held))

    async def discard(self) -> None:
        """Discards the rest, within limits: many clients read the answer after sending all."""
        deadline = time.monotonic() + _DISCARD_SECONDS
        with contextlib.suppress(EndpointError):
            while not self._finished and max(self._size, self._length) <= _DISCARD * self._limit:
                await self._next(deadline)


async def _predict(service: PredictService, body: _Body, request: Request, match: re.Match):
    name, version, label = _choice(match)
    deadline = service.deadline()
    # A request takes a place in the queue only when it is complete.
    text = await body.read(min(deadline, time.monotonic() + service.receive_timeout))
    zipped = "gzip" in request.headers.get("content-encoding", "")

    def call() -> bytes:
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
        return json_tensors.format_answer(outputs, rows)

    future = service.submit(call, deadline)
    future.add_done_callback(lambda _: body.release())
    work = asyncio.wrap_future(future)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait(
            {work, gone},
            timeout=max(0.0, deadline - time.monotonic()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if work.done():
            answer = work.result()
        elif gone.done():
            answer = EndpointError("CANCELLED", "The client closed the connection.")
        else:
            answer = EndpointError("DEADLINE_EXCEEDED", "The deadline passed.")
    finally:
        gone.cancel()
        # A waiting request leaves the queue; a running one ends at its deadline.
        service.work.withdraw(future, EndpointError("CANCELLED", "The client has gone."))
    if isinstance(answer, EndpointError):
        return _refusal(answer)
    return Response(answer, media_type="application/json")


def _refusal(error: EndpointError) -> Response:
    return JSONResponse({"error": error.message}, error.http_status)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


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
