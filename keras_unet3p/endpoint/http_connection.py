"""HTTP connections, bounded in what a client may leave open."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_UNFINISHED = 512
"""How many connections may owe a request, or the rest of one."""


class HttpConnection(H11Protocol):
    """A connection that is closed when its request does not come in time.

    uvicorn times connections between two requests only. Here the headers of every request have
    `timeout_keep_alive` seconds, however slowly they drip, and so has the rest of a body that was
    answered before its end. Of connections whose request is not complete at most `MOST_UNFINISHED`
    are kept, the newest: `limit_concurrency` alone would refuse those that bring a request.
    """

    _timer: asyncio.TimerHandle | None = None

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
        if len(unfinished) > MOST_UNFINISHED:
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
