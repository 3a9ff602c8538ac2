"""Serving until a signal arrives."""

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
    """Runs a server until SIGTERM or SIGINT, then finishes the running requests and returns.

    Nothing is printed. Signals are handled if this runs in the main thread; the previous handlers
    are restored at the end. A second signal during the shutdown has its previous effect.

    Args:
        server: the server, not started yet.
        on_ready: called once with the running server, whose `url` and `grpc_address` are set.
        stop: an event that ends serving as a signal does.

    Raises:
        ValueError: if a model does not load.
        OSError: if a port is taken.

    Example:
        >>> from keras_unet3p.endpoint import LocalServer, serve
        >>> serve(LocalServer({"cells": "models/cells"}, port=8501))  # doctest: +SKIP
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
