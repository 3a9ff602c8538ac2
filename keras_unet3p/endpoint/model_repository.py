"""All models of a local endpoint, and the thread that watches their folders."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.endpoint.served_model import ServedModel
from keras_unet3p.endpoint.served_version import ServedVersion
from keras_unet3p.errors import InputError


class ModelRepository:
    """Models by name; loads them when made and polls their folders until closed.

    Args:
        models: name -> base folder.
        labels: name -> label -> version number.
        poll_seconds: time between two looks at the folders.
        **options: further arguments of `ServedModel`.

    Raises:
        ValueError: when a folder holds no versions, or none that loads.
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
        for model in self._models.values():
            model.poll()
            if not model.available:
                problems = "; ".join(message for _, _, _, message in model.status() if message)
                self.close_models()
                raise InputError(f"Model {model.name!r} does not load: {problems}")
        self._thread = threading.Thread(target=self._watch, name="endpoint-watcher", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            for model in self._models.values():
                model.poll()

    @property
    def names(self) -> list[str]:
        """The models' names."""
        return list(self._models)

    def acquire(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> ServedVersion:
        """Counts a request in at a version of a model; see `ServedModel.acquire`."""
        if name not in self._models:
            short = name[:100]
            request = f"Latest({short})" if version is None else f"Specific({short}, {version})"
            raise EndpointError("NOT_FOUND", f"Servable not found for request: {request}")
        return self._models[name].acquire(version, label)

    def status(self, name: str, version: int | None = None, label: str | None = None):
        """Returns the states of a model's versions; see `ServedModel.status`."""
        if name not in self._models:
            raise EndpointError("NOT_FOUND", f"Could not find any versions of model {name[:100]}")
        return self._models[name].status(version, label)

    def close_models(self) -> None:
        """Retires every version."""
        for model in self._models.values():
            model.close()

    def close(self) -> None:
        """Stops watching and retires every version."""
        self._stop.set()
        self._thread.join()
        self.close_models()
