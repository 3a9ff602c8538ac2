"""HTTP connections with a limit on the requests that a client may leave unfinished."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class HttpConnection(H11Protocol):
    """A connection that is closed if its request does not arrive in time.

    uvicorn limits only the time between two requests. Here the headers of every request must
    arrive within `timeout_keep_alive` seconds, even if they arrive bit by bit. The same holds for
    the rest of a body that was answered before it was complete.

    Of the connections whose request is incomplete only the newest `max_unfinished` are kept.
    uvicorn's `limit_concurrency` alone would instead refuse new connections, also those with a
    complete request.

    Args:
        *args, **options: see uvicorn's `H11Protocol`.
        max_unfinished: largest number of connections with an incomplete request.
    """

    _timer: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, max_unfinished: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self._max_unfinished = max_unfinished

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        self._time_request()
        unfinished = [
            connection
            for connection in self.connections
            if isinstance(connection, HttpConnection)
            and connection.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        ]
        if len(unfinished) > self._max_unfinished:
            oldest = min(unfinished, key=lambda connection: connection._since)
            self.connections.discard(oldest)
            oldest.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._time_request()

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_timer()

    def _time_request(self) -> None:
        answered = self.cycle is not None and self.cycle.response_complete
        state = self.conn.their_state
        if state is not h11.IDLE and not (state is h11.SEND_BODY and answered):
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
