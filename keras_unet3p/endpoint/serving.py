"""Serving until a signal comes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from keras_unet3p.endpoint.local_server import LocalServer


def serve(
    models: Mapping[str, str | Path],
    host: str = "127.0.0.1",
    port: int = 8501,
    grpc_port: int = 8500,
    *,
    on_ready: Callable[[LocalServer], None] | None = None,
    stop: threading.Event | None = None,
    **options,
) -> None:
    """Serves models until SIGTERM or SIGINT, then finishes the requests under way and returns.

    Prints nothing. Signals are handled when this runs in the main thread, and their former
    handlers are put back at the end; a second signal while it is finishing has its former effect.

    Args:
        models: name -> base folder of version folders.
        host: address to listen on; the default is reachable from this machine only.
        port: REST port, by default TensorFlow Serving's; 0 takes a free one.
        grpc_port: gRPC port, by default TensorFlow Serving's; 0 takes a free one.
        on_ready: called once with the running server; its `url` and `grpc_address` say where.
        stop: an event that ends serving as a signal does.
        **options: further arguments of `LocalServer`.

    Raises:
        ValueError: when a model does not load.
        OSError: when a port is taken.
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
        with LocalServer(models, host, port, grpc_port, **options) as server:
            if on_ready is not None and not stop.is_set():
                on_ready(server)
            stop.wait()
            restore()
    finally:
        restore()
