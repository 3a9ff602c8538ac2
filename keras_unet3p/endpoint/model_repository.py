"""All models of a local server, and the thread that watches their folders."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.endpoint.model_config import ModelConfig
from keras_unet3p.endpoint.served_model import ServedModel, servable_not_found
from keras_unet3p.endpoint.served_version import ServedVersion
from keras_unet3p.errors import InputError


class ModelRepository:
    """The models by name. They are loaded at once; their folders are polled until `close`.

    Args:
        read: function that returns the models to serve, by name. It is called again before every
            poll. A change is applied as a whole, or refused as a whole and tried again: if `read`
            raises an `InputError`, a new model has no folder of versions, or a label is moved to a
            version that is not loaded. The last is TensorFlow Serving's rule. A new label may name
            any version, as with --allow_version_labels_for_unavailable_models.
        poll_seconds: seconds between two polls.
        on_config: called with one line about a change that was applied or refused, from the
            thread that polls.
        **options: further arguments of `ServedModel`.

    Raises:
        ValueError: if `read` raises it, or a folder holds no version, or none that loads.
    """

    def __init__(
        self,
        read: Callable[[], Mapping[str, ModelConfig]],
        *,
        poll_seconds: float,
        on_config: Callable[[str], None],
        **options: Any,
    ):
        self._read = read
        self._on_config = on_config
        self._options = options
        self._configs = read()
        self._refused = ""
        # A model that is no longer served stays here, without versions.
        self._models = {
            name: ServedModel(config, **options) for name, config in self._configs.items()
        }
        self._stop = threading.Event()
        self._poll_seconds = poll_seconds
        self._thread = threading.Thread(target=self._watch, name="endpoint-watcher", daemon=True)
        for model in self._models.values():
            model.poll()
            if not model.available:
                problems = "; ".join(message for _, _, _, message in model.status() if message)
                self.close()
                raise InputError(
                    f"Model {model.name!r} does not load: "
                    f"{problems or 'its folder holds none of the versions to serve'}"
                )
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            self._configure()
            for name in self._configs:
                self._models[name].poll()

    def _configure(self) -> None:
        try:
            configs = self._read()
            if configs == self._configs:
                self._refused = ""
                return
            self._check_labels(configs)
            added = {
                name: ServedModel(config, **self._options)
                for name, config in configs.items()
                if name not in self._models
            }
        except InputError as error:
            if str(error) != self._refused:
                self._refused = str(error)
                self._on_config(f"refused as a whole, nothing is changed: {error}")
            return
        for name in set(self._configs) - set(configs):
            self._models[name].close()
        self._models = {**self._models, **added}
        for name, config in configs.items():
            self._models[name].configure(config)
        self._configs, self._refused = configs, ""
        self._on_config(" | ".join(map(str, configs.values())))

    def _check_labels(self, configs: Mapping[str, ModelConfig]) -> None:
        for name, config in configs.items():
            before = self._configs[name].labels if name in self._configs else {}
            for label, version in config.labels.items():
                moved = label in before and before[label] != version
                if moved and version not in self._models[name].available:
                    raise InputError(
                        f"Model {name!r}: the label {label!r} is moved to version {version}, which "
                        "is not loaded. First add the version; move the label when it is AVAILABLE."
                    )

    @property
    def names(self) -> list[str]:
        """The names of the models that are served."""
        return list(self._configs)

    def labels(self, name: str) -> dict[str, int]:
        """The labels of a model that is served, and the numbers of their versions."""
        return self._models[name].labels

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
