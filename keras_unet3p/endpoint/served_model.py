"""The versions of one model, found in its base folder."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from keras_unet3p.artifacts.model_versions import is_version_folder, version_folders
from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.endpoint.model_config import ModelConfig
from keras_unet3p.endpoint.served_version import ServedVersion
from keras_unet3p.errors import InputError


class ServedModel:
    """The loaded versions of one model.

    A new version is loaded and warmed up while the old ones still serve. Requests go to it when it
    is ready, and a version that is no longer needed is unloaded after its last request. A folder
    that does not load is tried again when it changes; until then the last working version stays.

    Args:
        config: the model's name, folder, versions to serve, and labels.
        **options: `max_pixels` and `trusted` of `ServedVersion`.

    Raises:
        ValueError: if the folder is not a base folder of versions.
    """

    def __init__(self, config: ModelConfig, **options: Any):
        self.name = config.name
        self._config = config
        self._options = options
        self._lock = threading.Lock()
        self._loaded: dict[int, ServedVersion] = {}
        self._states: dict[int, tuple[str, str, str]] = {}
        self._failed: dict[int, object] = {}
        folder = config.folder
        if is_version_folder(folder):
            raise InputError(
                f"Model {self.name!r}: {folder} is itself a version folder; give the folder "
                f"above it ({folder.parent})."
            )
        if not self._version_folders():
            raise InputError(
                f"Model {self.name!r}: {folder} holds no version folder; expected subfolders "
                "named 1, 2, ... with a saved_model.pb in each."
            )

    def configure(self, config: ModelConfig) -> None:
        """Changes folder, versions and labels; `poll` loads and retires. For `poll`'s thread only.

        A version that is loaded stays as it is if another folder holds the same number.
        """
        if config.folder != self._config.folder:
            self._failed.clear()
        self._config = config

    def _version_folders(self) -> dict[int, list[Path]]:
        try:
            return version_folders(self._config.folder)
        except OSError:  # it has gone, for a moment or for good
            return {}

    def poll(self) -> None:
        """Reads the base folder once; loads and retires versions. For one thread only."""
        folders = self._version_folders()
        newest, named = self._config.policy.choose(folders)
        wanted = newest | named
        for version in sorted(wanted - set(self._loaded)):
            mark = [_fingerprint(folder) for folder in folders[version]]
            if version in self._failed and self._failed[version] == mark:
                continue
            with self._lock:
                self._states[version] = ("LOADING", "OK", "")
            try:
                served = ServedVersion(_only(folders[version]), self.name, version, **self._options)
            except EndpointError as error:
                self._failed[version] = mark
                with self._lock:
                    self._states[version] = ("END", error.code, error.message)
            else:
                self._failed.pop(version, None)
                with self._lock:
                    self._loaded[version] = served
                    self._states[version] = ("AVAILABLE", "OK", "")
        # As in TensorFlow Serving, old versions stay until one of the wanted versions is loaded,
        # here one of the newest. They stay for good if none loads, or if the folders have gone.
        if (newest or named) & set(self._loaded):
            self._retire(set(self._loaded) - wanted)

    def _retire(self, versions: set[int]) -> None:
        with self._lock:
            retired = [self._loaded.pop(version) for version in versions]
            for served in retired:
                self._states[served.version] = ("UNLOADING", "OK", "")
        for served in retired:
            served.retire(self._has_unloaded)

    def _has_unloaded(self, version: int) -> None:
        with self._lock:
            if self._states[version][0] == "UNLOADING":
                self._states[version] = ("END", "OK", "")

    def close(self) -> None:
        """Retires all versions."""
        self._retire(set(self._loaded))

    @property
    def labels(self) -> dict[str, int]:
        """Label -> version number."""
        return dict(self._config.labels)

    @property
    def available(self) -> set[int]:
        """The versions that are loaded."""
        return set(self._loaded)

    def acquire(self, version: int | None = None, label: str | None = None) -> ServedVersion:
        """Returns the newest loaded version, or the one asked for, for one request.

        It stays loaded until the caller calls its `release`.

        Raises:
            EndpointError: NOT_FOUND if the version is not loaded, INVALID_ARGUMENT for an unknown
                label.
        """
        version = self._number(version, label)
        with self._lock:
            chosen = max(self._loaded, default=None) if version is None else version
            served = self._loaded.get(chosen) if chosen is not None else None
            if served is None or not served.acquire():
                raise servable_not_found(self.name, version)
            return served

    def _number(self, version: int | None, label: str | None) -> int | None:
        if label is None:
            return version
        labels = self._config.labels
        if label not in labels:
            raise EndpointError(
                "INVALID_ARGUMENT", f"Unrecognized servable version label: {label[:100]}"
            )
        return labels[label]

    def status(self, version: int | None = None) -> list[tuple[int, str, str, str]]:
        """Returns (number, state, error code, error message) of each version, the newest first.

        Raises:
            EndpointError: NOT_FOUND for an unknown version.
        """
        with self._lock:
            if version is not None and version not in self._states:
                raise EndpointError(
                    "NOT_FOUND", f"Could not find version {version} of model {self.name}"
                )
            return [
                (number, *self._states[number])
                for number in sorted(self._states, reverse=True)
                if version is None or number == version
            ]


def servable_not_found(model: str, version: int | None) -> EndpointError:
    """Returns TensorFlow Serving's error for a model or version that is not loaded."""
    request = f"Latest({model})" if version is None else f"Specific({model}, {version})"
    return EndpointError("NOT_FOUND", f"Servable not found for request: {request}")


def _only(folders: list[Path]) -> Path:
    if len(folders) > 1:
        names = " and ".join(repr(folder.name) for folder in folders)
        raise EndpointError(
            "FAILED_PRECONDITION",
            f"{folders[0].parent} holds one version twice, in the folders {names}; remove one.",
        )
    return folders[0]


def _fingerprint(folder: Path) -> object:
    try:
        return [
            (str(entry), entry.stat().st_mtime_ns, entry.stat().st_size)
            for entry in sorted(folder.rglob("*"))
        ]
    except OSError:
        return None
