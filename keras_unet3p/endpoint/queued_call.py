"""A call in the queue on behalf of an HTTP client, who may go away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from starlette.requests import Request

from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.endpoint.predict_service import PredictService


async def queued_call(
    service: PredictService,
    request: Request,
    call: Callable[[], Any],
    deadline: float,
    when_done: Callable[[], None],
) -> Any:
    """Runs `call` in a worker thread; waits for it, the deadline or the end of the connection.

    Args:
        service: the state of the endpoint.
        request: the client's; all of its body has been read.
        call: function to run.
        deadline: in seconds of `time.monotonic()`.
        when_done: called when `call` has ended or was dropped, maybe after this returns.

    Returns:
        The result of `call`, or an EndpointError.

    Raises:
        EndpointError: as `PredictService.submit`; then `when_done` is not called.
    """
    future = service.submit(call, deadline)
    future.add_done_callback(lambda _: when_done())
    work = asyncio.wrap_future(future)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait(
            {work, gone},
            timeout=max(0.0, deadline - time.monotonic()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if work.done():
            return work.result()
        if gone.done():
            return EndpointError("CANCELLED", "The client closed the connection.")
        return EndpointError("DEADLINE_EXCEEDED", "The deadline passed.")
    finally:
        gone.cancel()
        # A waiting request leaves the queue; a running one ends at its deadline.
        service.work.withdraw(future, EndpointError("CANCELLED", "The client has gone."))


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
