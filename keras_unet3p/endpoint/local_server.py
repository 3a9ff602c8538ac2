"""A small server with TensorFlow Serving's API, for development, tests and the quick start."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn

from keras_unet3p.endpoint.byte_budget import ByteBudget
from keras_unet3p.endpoint.config_file import read_config_file
from keras_unet3p.endpoint.grpc_services import grpc_server
from keras_unet3p.endpoint.http_connection import HttpConnection
from keras_unet3p.endpoint.model_config import ModelConfig
from keras_unet3p.endpoint.model_repository import ModelRepository
from keras_unet3p.endpoint.predict_service import PredictService
from keras_unet3p.endpoint.rest_app import rest_app
from keras_unet3p.endpoint.version_policy import VersionPolicy
from keras_unet3p.endpoint.work_queue import WorkQueue
from keras_unet3p.errors import InputError

_LOG = logging.getLogger(__name__)


class LocalServer:
    """Serves SavedModels over REST and gRPC as TensorFlow Serving does. Not for production.

    As a context manager it loads the models and binds the ports at the beginning, and finishes the
    running requests at the end. `start` and `close` do the same.

    REST: `POST /v1/models/NAME[/versions/N|/labels/L]:predict`, `GET /v1/models/NAME...`,
    `GET .../metadata`, and what TensorFlow Serving lacks: `GET /health`, and at `/` a page that
    shows results; what it consists of and asks for lies below `/page/`. gRPC: Predict,
    GetModelMetadata, GetModelStatus, health checks. Bodies, errors and codes are those of
    TensorFlow Serving; answers to predictions tell the version besides (`Model-Version`). The
    limits below are additional.

    Args:
        models: name -> base folder, whose subfolders named 1, 2, ... are the versions. The folders
            are read every `poll_seconds`. A new version replaces the old one without losing a
            request. Or the path of a file of models in TensorFlow Serving's text format (a model
            config list), which is read every `poll_seconds` too; it names versions and labels.
        host: address to listen on. The default can be reached from this machine only.
        port: REST port; 0 takes a free one.
        grpc_port: gRPC port; 0 takes a free one.
        allowed_hosts: further host names under which the REST API and the page are reached.
            Accepted anyway are `host`, the name of this machine, localhost and IP addresses.
            Requests for other names, and requests from foreign web pages, are refused (403).
        labels: name -> label -> version number. Labelled versions are loaded in addition to the
            newest ones.
        num_versions: number of newest versions to serve of each model.
        on_config: called with one line when a change of the file of models was applied, or
            refused as a whole. By default the line is logged as a warning.
        workers: number of requests that run at the same time. By default half the number of
            processors, and at least two; TensorFlow itself uses several processors per request.
        max_waiting: number of requests that may wait. Further ones are refused (429,
            RESOURCE_EXHAUSTED).
        max_request_bytes: size of the largest request body (413, RESOURCE_EXHAUSTED), and of the
            largest tensor that one may claim to hold.
        max_held_bytes: bytes of all request bodies in memory. Requests beyond it are refused (429,
            RESOURCE_EXHAUSTED). By default four times `max_request_bytes`.
        max_json_values: largest number of numbers and lists in a JSON body (413). No other request
            runs while one is parsed. The default accepts a grey image of 2880 x 2880 pixels sent
            as numbers.
        max_pixels: largest height x width of an encoded image, read from its header (400).
        max_unfinished: number of HTTP connections with an incomplete request. If there are more,
            the oldest are closed.
        timeout: seconds that a request may take, waiting included (504, DEADLINE_EXCEEDED). The
            deadline of a gRPC client holds as well.
        receive_timeout: seconds within which the headers of a request must arrive, or its
            connection is closed; and seconds for its body after that (504). A request takes a
            place in the queue when it is complete.
        grace: seconds that `close` waits for running requests. Waiting ones are refused (503,
            UNAVAILABLE) at once.
        poll_seconds: seconds between two polls of the base folders.
        trust_models: whether to serve a model whose graph can use files, the network or Python.
            Such a model can do everything that this process can do.

    Attributes:
        url: "http://host:port" of the REST API and the page.
        grpc_address: "host:port" of the gRPC API.

    Raises:
        ValueError: if an argument is not accepted; from `start`, if a model's folder holds no
            version that loads.
        OSError: from `start`, if a port is not free.

    Example:
        >>> server = LocalServer({"cells": "models/cells"}, port=8501)
        >>> with server:  # doctest: +SKIP
        ...     print(server.url)
        http://127.0.0.1:8501
    """

    def __init__(
        self,
        models: Mapping[str, str | Path] | str | Path,
        host: str = "127.0.0.1",
        port: int = 0,
        grpc_port: int = 0,
        *,
        allowed_hosts: Iterable[str] = (),
        labels: Mapping[str, Mapping[str, int]] | None = None,
        num_versions: int = 1,
        on_config: Callable[[str], None] | None = None,
        workers: int | None = None,
        max_waiting: int = 64,
        max_request_bytes: int = 256 * 2**20,
        max_held_bytes: int | None = None,
        max_json_values: int = 2**24,
        max_pixels: int = 2**27,
        max_unfinished: int = 512,
        timeout: float = 300.0,
        receive_timeout: int = 30,
        grace: float = 30.0,
        poll_seconds: float = 1.0,
        trust_models: bool = False,
    ):
        _check_ports(port, grpc_port)
        _check_at_least(0, max_waiting=max_waiting)
        _check_at_least(
            1,
            num_versions=num_versions,
            workers=workers,
            max_request_bytes=max_request_bytes,
            max_held_bytes=max_held_bytes,
            max_json_values=max_json_values,
            max_pixels=max_pixels,
            max_unfinished=max_unfinished,
            receive_timeout=receive_timeout,
        )
        self._host, self._ports = host, (port, grpc_port)
        self._hosts = {host, socket.gethostname(), *allowed_hosts}
        self._workers = workers or max(2, (os.cpu_count() or 2) // 2)
        self._max_waiting = max_waiting
        self._max_unfinished = max_unfinished
        self._receive_timeout = receive_timeout
        self._grace = grace
        self._load_models = functools.partial(
            ModelRepository,
            _reader(models, labels or {}, num_versions),
            on_config=on_config or _LOG.warning,
            max_pixels=max_pixels,
            poll_seconds=poll_seconds,
            trusted=trust_models,
        )
        self._make_service = functools.partial(
            PredictService,
            held=ByteBudget(max_held_bytes or 4 * max_request_bytes),
            max_request_bytes=max_request_bytes,
            max_json_values=max_json_values,
            timeout=timeout,
            receive_timeout=receive_timeout,
        )
        self._service: PredictService | None = None
        self.url = ""
        self.grpc_address = ""

    @property
    def names(self) -> list[str]:
        """The names of the models that are served; none while the server does not run."""
        return self._service.repository.names if self._service else []

    def start(self) -> LocalServer:
        """Loads the models, starts to serve and returns the server."""
        if self._service is not None:
            raise RuntimeError("This server has already been started.")
        with contextlib.ExitStack() as undo:
            rest_socket = undo.enter_context(_bind(self._host, self._ports[0]))
            # gRPC reports only on stderr that a port cannot be bound, so this is tried first.
            _bind(self._host, self._ports[1]).close()
            repository = self._load_models()
            undo.callback(repository.close)
            work = WorkQueue(self._workers, self._max_waiting)
            undo.callback(work.close)
            service = self._make_service(repository, work)
            self._grpc_threads = ThreadPoolExecutor(
                self._workers + self._max_waiting + 16, thread_name_prefix="endpoint-grpc"
            )
            self._grpc, grpc_port, self._health = grpc_server(
                service, _address(self._host, self._ports[1]), self._grpc_threads
            )
            undo.pop_all()
        self._service = service
        self._grpc.start()
        self._start_rest(service, rest_socket)
        self.url = f"http://{_address(self._host, rest_socket.getsockname()[1])}"
        self.grpc_address = _address(self._host, grpc_port)
        return self

    def _start_rest(self, service: PredictService, listener: socket.socket) -> None:
        connection: Any = functools.partial(HttpConnection, max_unfinished=self._max_unfinished)
        self._rest = uvicorn.Server(
            uvicorn.Config(
                rest_app(service, self._hosts),
                http=connection,
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                lifespan="off",
                ws="none",
                timeout_keep_alive=self._receive_timeout,
                # More connections than this are answered 503 at once.
                limit_concurrency=self._workers + self._max_waiting + 2 * self._max_unfinished,
            )
        )
        self._rest_thread = threading.Thread(
            target=self._rest.run, args=([listener],), name="endpoint-rest", daemon=True
        )
        self._rest_thread.start()
        while not self._rest.started:
            if not self._rest_thread.is_alive():
                self.close()
                raise OSError("The REST server ended while it started.")
            time.sleep(0.005)

    def close(self) -> None:
        """Refuses new and waiting requests; finishes running ones for up to `grace` seconds."""
        service, self._service = self._service, None
        if service is None:
            return
        end = time.monotonic() + self._grace

        def left() -> int:
            return max(1, math.ceil(end - time.monotonic()))

        self._health.enter_graceful_shutdown()
        service.drain(self._grace)
        # Both servers still wait until finished answers are written. uvicorn then cancels the
        # requests that still run, and these are answered 503.
        self._rest.config.timeout_graceful_shutdown = left()
        self._rest.should_exit = True
        stopped = self._grpc.stop(left())
        self._rest_thread.join(left() + 1)
        stopped.wait(left() + 1)
        self._grpc_threads.shutdown(wait=False)
        service.work.close()
        service.repository.close()

    def __enter__(self) -> LocalServer:
        return self.start()

    def __exit__(self, *_) -> None:
        self.close()


def _reader(
    models: Mapping[str, str | Path] | str | Path,
    labels: Mapping[str, Mapping[str, int]],
    num_versions: int,
) -> Callable[[], Mapping[str, ModelConfig]]:
    """The function that returns what to serve."""
    if not isinstance(models, Mapping):
        if labels or num_versions != 1:
            raise InputError(
                f"labels and num_versions go with folders; the file {models} names versions and "
                "labels itself."
            )
        return functools.partial(read_config_file, Path(models))
    _check_names(models, labels)
    configs = {
        name: ModelConfig(
            name,
            Path(folder),
            VersionPolicy(num_versions, frozenset(labels.get(name, {}).values())),
            dict(labels.get(name, {})),
        )
        for name, folder in models.items()
    }
    return lambda: configs


def _check_names(models: Mapping[str, str | Path], labels: Mapping[str, Mapping[str, int]]) -> None:
    if not models:
        raise InputError("models is empty; give at least one name and its base folder.")
    for name in models:
        if not name or set(name) & set("/:"):
            raise InputError(f"models: the name {name!r} must not be empty or contain '/', ':'.")
    for name in labels:
        if name not in models:
            raise InputError(f"labels names the model {name!r}; models has {list(models)}.")


def _check_ports(port: int, grpc_port: int) -> None:
    for argument, value in (("port", port), ("grpc_port", grpc_port)):
        if not 0 <= value <= 65535:
            raise InputError(f"{argument} must lie in 0 to 65535, found {value}.")
    if port and port == grpc_port:
        raise InputError(f"port and grpc_port must differ, both are {port}.")


def _check_at_least(least: int, **values: int | None) -> None:
    for argument, value in values.items():
        if value is not None and value < least:
            raise InputError(f"{argument} must be at least {least}, found {value}.")


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        address = _address(host, port)
        if error.errno == errno.EADDRINUSE:
            problem = f"{address} is in use by another program; port 0 takes a free one"
        else:
            problem = f"Cannot listen on {address}: {error.strerror}"
        raise OSError(error.errno, problem) from error
    return listener
