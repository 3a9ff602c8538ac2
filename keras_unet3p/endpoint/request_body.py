"""The body of an HTTP request, read within the endpoint's limits."""

from __future__ import annotations

import asyncio
import contextlib
import time

from starlette.requests import Request

from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.endpoint.predict_service import PredictService

# A refused body is read and discarded up to this many times the accepted size, so that the client
# receives the answer instead of a reset connection.
_DISCARD = 8
_DISCARD_SECONDS = 10.0


class RequestBody:
    """The body of a request, which is read or discarded within limits.

    Args:
        request: the request.
        service: the state of the endpoint, for its limits.
    """

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
