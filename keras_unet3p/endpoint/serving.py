"""Serving until a signal comes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from keras_unet3p.endpoint.local_server import LocalServer


def serve(
    server: LocalServer,
    *,
    on_ready: Callable[[LocalServer], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Runs a server until SIGTERM or SIGINT, then finishes the requests under way and returns.

    Prints nothing. Signals are handled when this runs in the main thread, and their former
    handlers are put back at the end; a second signal while it is finishing has its former effect.

    Args:
        server: the server, not started yet.
        on_ready: called once with the running server; its `url` and `grpc_address` say where.
        stop: an event that ends serving as a signal does.

    Raises:
        ValueError: when a model does not load.
        OSError: when a port is taken.

    Example:
        >>> server = ku.endpoint.LocalServer({"cells": "models/cells"}, port=8501)
        >>> ku.endpoint.serve(server)  # doctest: +SKIP
    """
    stop = stop or threading.Event()
    former = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            former[number] = signal.signal(number, lambda *_: stop.set())

    def restore() -> None:
        while former:
            number, handler = former.popitem()
            signal.signal(number, handler)

    try:
        with server:
            if on_ready is not None and not stop.is_set():
                on_ready(server)
            stop.wait()
            restore()
    finally:
        restore()
