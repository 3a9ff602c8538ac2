"""A process of its own for the models, as napari's own must not load TensorFlow.

TensorFlow brings an LLVM, and so do Mesa's drivers, which draw napari's canvas on many Linux
machines: with TensorFlow 2.21 and Mesa 22.3 in one process it ended with a segmentation fault,
whichever came first. Besides, a process can be ended at any time, and gives its memory back.

No `multiprocessing.Process`: it would run the main script again, which opens a viewer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p.errors import UserError, printable
from keras_unet3p.napari_plugin.segmentation_request import Segmentation, SegmentationRequest

MOST_IN_MEMORY = 1 << 28
"""Pixels of a result in memory; larger ones lie in a temporary file."""
_LABELS = "labels.npy"
_SECONDS_BETWEEN_LOOKS = 0.1


class RefusedError(UserError):
    """What the process of the models refuses, in its words.

    Example:
        >>> raise RefusedError("a.png: it is empty")
        Traceback (most recent call last):
            ...
        keras_unet3p.napari_plugin.model_process.RefusedError: a.png: it is empty
    """


class Cancelled(Exception):
    """The work was ended on request.

    Example:
        >>> issubclass(Cancelled, Exception)
        True
    """


class ModelProcess:
    """The side of napari: asks the process, and reads the pixels that it asks for.

    The process is started by the first request and stays, with the model that it opened last.

    Example:
        >>> process = ModelProcess()
        >>> process.run(request)  # doctest: +SKIP
        >>> process.close()
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._connection: Connection | None = None

    def run(
        self,
        request: SegmentationRequest,
        *,
        report: Callable[[int, int], object] = lambda done, total: None,
        warn: Callable[[str], object] = lambda text: None,
        stop: threading.Event | None = None,
        most_in_memory: int = MOST_IN_MEMORY,
    ) -> Segmentation:
        """Segment a region.

        Args:
            request: what is asked for.
            report: called with how much is done, and how much there is; 0 of 0 while the model is
                opened.
            warn: called with warnings.
            stop: ends the work, when it is set.
            most_in_memory: pixels of the result; see `MOST_IN_MEMORY`.

        Raises:
            UserError: the request is refused, or the process has ended.
            Cancelled: `stop` was set.
            RuntimeError: a mistake in this package, with the traceback of the process.
        """
        stop = stop or threading.Event()
        data, folder = request.region.data, None
        if math.prod(request.region.shape) > most_in_memory:
            folder = tempfile.TemporaryDirectory(prefix="unet3p-", ignore_cleanup_errors=True)
        report(0, 0)
        is_idle = False  # whether the process waits for the next request
        try:
            connection = self._connected(stop)
            bare = dataclasses.replace(request.region, data=None)
            place = None if folder is None else Path(folder.name, _LABELS)
            sent = dataclasses.replace(request, region=bare)
            connection.send((sent, tuple(data.shape), np.dtype(data.dtype), place))
            while not is_idle:
                if stop.is_set():
                    raise Cancelled
                if not connection.poll(_SECONDS_BETWEEN_LOOKS):
                    continue
                kind, value = connection.recv()
                if kind == "window":
                    connection.send(np.ascontiguousarray(data[value]))
                elif kind == "report":
                    report(*value)
                elif kind == "warning":
                    warn(value)
                else:
                    is_idle = True
        except (EOFError, ConnectionError):
            raise RefusedError(self._epitaph()) from None
        finally:
            if not is_idle:
                self.close()
        if kind == "refused":
            raise RefusedError(value)
        if kind == "failed":
            raise RuntimeError(value)
        labels, features = value
        if folder is not None:
            labels = np.load(Path(folder.name, _LABELS), mmap_mode="r+")
        return Segmentation(labels, features, folder)

    def _connected(self, stop: threading.Event) -> Connection:
        if self._connection is not None and self._process and self._process.poll() is None:
            return self._connection
        self.close()
        key = secrets.token_bytes(32)
        with Listener(authkey=key) as listener:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                env={"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ},
            )
            assert self._process.stdin is not None
            line = json.dumps({"address": listener.address, "key": key.hex()})
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
            self._connection = self._accepted(listener, stop)
        return self._connection

    def _accepted(self, listener: Listener, stop: threading.Event) -> Connection:
        """The connection; a process that ends before it connects would be waited for forever."""
        found: list[Connection] = []

        def accept() -> None:
            with contextlib.suppress(OSError, EOFError):
                found.append(listener.accept())

        waiting = threading.Thread(target=accept, daemon=True)
        waiting.start()
        while waiting.is_alive():
            waiting.join(_SECONDS_BETWEEN_LOOKS)
            if stop.is_set():
                raise Cancelled
            if self._process is None or self._process.poll() is not None:
                raise ConnectionError
        if not found:
            raise ConnectionError
        return found[0]

    def _epitaph(self) -> str:
        code = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(timeout=5)
        self.close()
        killed = " (killed, perhaps for want of memory)" if code == -9 else ""
        return f"the process of the model has ended with code {code}{killed}; its output tells more"

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):  # what it did not read
                    self._process.stdin.close()
            self._process = None


class _RemotePixels:
    """A layer's pixels, which the other process holds."""

    def __init__(self, wire: _Wire, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._wire = wire
        self.shape, self.dtype = shape, dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        return self._wire.ask("window", index)


class _Wire:
    """The process's end of the connection; several threads write to it."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def receive(self) -> Any:
        return self._connection.recv()

    def tell(self, kind: str, value: Any) -> None:
        with self._lock:
            self._connection.send((kind, value))

    def ask(self, kind: str, value: Any) -> Any:
        with self._lock:
            self._connection.send((kind, value))
            return self._connection.recv()


def serve(connection: Connection) -> None:
    """Answer requests.

    Raises:
        EOFError, ConnectionError: the other process has gone.

    Example:
        >>> serve(Client(address, authkey=key))  # doctest: +SKIP
    """
    from keras_unet3p.napari_plugin.opened_model import OpenedModel
    from keras_unet3p.napari_plugin.segmentation import segment_region
    from keras_unet3p.workflow.model_stamp import stamp_of_model

    wire = _Wire(connection)
    kept: dict[str, Any] = {}

    def opened(name: str) -> OpenedModel:
        """The model that was opened last, if it is that one."""
        stamp = stamp_of_model(name)
        if kept.get("stamp") != stamp:
            kept.clear()
            kept.update(model=OpenedModel(name), stamp=stamp)
        return kept["model"]

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        if issubclass(category, UserWarning):
            wire.tell("warning", printable(str(message)))
        else:
            print(f"{filename}:{lineno}: {category.__name__}: {message}", file=sys.stderr)

    warnings.showwarning = show
    while True:
        request, shape, dtype, place = wire.receive()
        pixels = _RemotePixels(wire, shape, dtype)
        request = dataclasses.replace(
            request, region=dataclasses.replace(request.region, data=pixels)
        )
        try:
            found = segment_region(
                request,
                lambda done, total: wire.tell("report", (done, total)),
                opened=opened,
                file=place,
            )
            if place is not None and isinstance(found.labels, np.memmap):
                found.labels.flush()
                wire.tell("done", (None, found.features))
            else:
                wire.tell("done", (found.labels, found.features))
        except ConnectionError:
            raise
        except (UserError, OSError, MemoryError) as error:
            lines = str(error).splitlines() or [type(error).__name__]
            wire.tell("refused", "\n".join(map(printable, lines)))
        except Exception:
            wire.tell("failed", traceback.format_exc())


def main() -> None:
    """Connect to the process that has written an address and a key to the standard input."""
    told = json.loads(sys.stdin.readline())
    address = told["address"]
    address = tuple(address) if isinstance(address, list) else address
    with (
        contextlib.suppress(EOFError, ConnectionError),  # the other process has gone
        Client(address, authkey=bytes.fromhex(told["key"])) as connection,
    ):
        serve(connection)


if __name__ == "__main__":
    main()
