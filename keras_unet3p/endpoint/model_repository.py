"""All models of a local server, and the thread that watches their folders."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.endpoint.served_model import ServedModel, servable_not_found
from keras_unet3p.endpoint.served_version import ServedVersion
from keras_unet3p.errors import InputError


class ModelRepository:
    """The models by name. They are loaded at once; their folders are polled until `close`.

    Args:
        models: name -> base folder.
        labels: name -> label -> version number.
        poll_seconds: seconds between two polls.
        **options: further arguments of `ServedModel`.

    Raises:
        ValueError: if a folder holds no version, or none that loads.
    """

    def __init__(
        self,
        models: Mapping[str, str | Path],
        *,
        labels: Mapping[str, Mapping[str, int]],
        poll_seconds: float,
        **options: Any,
    ):
        self._models = {
            name: ServedModel(name, folder, labels=labels.get(name), **options)
            for name, folder in models.items()
        }
        self._stop = threading.Event()
        self._poll_seconds = poll_seconds
        self._thread = threading.Thread(target=self._watch, name="endpoint-watcher", daemon=True)
        for model in self._models.values():
            model.poll()
            if not model.available:
                problems = "; ".join(message for _, _, _, message in model.status() if message)
                self.close()
                raise InputError(f"Model {model.name!r} does not load: {problems}")
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            for model in self._models.values():
                model.poll()

    @property
    def names(self) -> list[str]:
        """The models' names."""
        return list(self._models)

    @contextlib.contextmanager
    def using(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> Iterator[ServedVersion]:
        """Context with a version of a model for one request; see `ServedModel.acquire`."""
        if name not in self._models:
            raise servable_not_found(name[:100], version)
        served = self._models[name].acquire(version, label)
        try:
            yield served
        finally:
            served.release()

    def status(self, name: str, version: int | None = None):
        """Returns the states of a model's versions; see `ServedModel.status`."""
        if name not in self._models:
            raise EndpointError("NOT_FOUND", f"Could not find any versions of model {name[:100]}")
        return self._models[name].status(version)

    def close(self) -> None:
        """Stops polling and retires every version."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for model in self._models.values():
            model.close()
