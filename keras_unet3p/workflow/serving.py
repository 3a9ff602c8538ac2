"""The local endpoint over exported models."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from keras_unet3p.artifacts import ModelSource
from keras_unet3p.errors import InputError
from keras_unet3p.workflow.exporting import export

if TYPE_CHECKING:
    from keras_unet3p.endpoint import LocalServer


def serve(
    model: str | os.PathLike[str] | None = None,
    *,
    config: str | os.PathLike[str] | None = None,
    host: str = "127.0.0.1",
    port: int = 8501,
    grpc_port: int = 8500,
    allowed_hosts: Iterable[str] = (),
    trust_models: bool = False,
    on_ready: Callable[[LocalServer], None] | None = None,
    on_config: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Serve exported models on this machine until the process is told to stop.

    For development: TensorFlow Serving serves the same folder in production (see `serving/`).
    `keras_unet3p.endpoint.LocalServer` takes limits besides.

    Args:
        model: folder of the served model, with its version folders inside; its name is the
            model's. Or the name of a preset, which is exported first.
        config: in place of `model` the file of several models, their versions and labels, in
            TensorFlow Serving's text format (`serving/config/models.config`). Relative paths in it
            are taken from the file's folder. Changes of the file are taken up while serving.
        host: address to listen on; the default is reachable from this machine only.
        port: REST port; 0 takes a free one.
        grpc_port: gRPC port; 0 takes a free one.
        allowed_hosts: further names by which it is reached.
        trust_models: whether to serve a model whose graph can use files, the network or Python.
        on_ready: called once with the running server; its `url` and `grpc_address` say where, its
            `names` what.
        on_config: called with one line when a change of `config` was taken up, or refused as a
            whole.
        stop: an event that ends serving as a signal does.

    Raises:
        ValueError: a folder holds no version that may be served, the file is not accepted, a port
            cannot be had, or not exactly one of `model` and `config` is given.

    Example:
        >>> serve("models/cells", port=0)  # doctest: +SKIP
        >>> serve(config="models/models.config", port=0)  # doctest: +SKIP
    """
    from keras_unet3p import endpoint

    with contextlib.ExitStack() as stack:
        if model is not None and config is None:
            models = _one_model(model, stack)
        elif config is not None and model is None:
            models = Path(config)
        else:
            raise InputError("give either the folder of a served model or a config file of models")
        server = endpoint.LocalServer(
            models,
            host,
            port,
            grpc_port,
            allowed_hosts=allowed_hosts,
            trust_models=trust_models,
            on_config=on_config,
        )
        try:
            endpoint.serve(server, on_ready=on_ready, stop=stop)
        except OSError as error:
            raise InputError(error.strerror or str(error)) from error


def _one_model(model: str | os.PathLike[str], stack: contextlib.ExitStack) -> dict[str, Path]:
    """The name and the folder of the model; a preset is exported to one that `stack` removes."""
    source = ModelSource.find(model)
    if source is not None and source.kind not in ("export", "preset"):
        raise InputError(
            f"{source}; expected the folder of an exported model, which `export` makes, or a preset"
        )
    folder = Path(model).resolve()
    if source is not None and source.kind == "preset":
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()), source.name)
        export(source.name, folder)
    return {folder.name: folder}
