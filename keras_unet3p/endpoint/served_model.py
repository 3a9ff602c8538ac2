"""The versions of one model, found in its base folder."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_unet3p.artifacts.model_versions import is_version_folder, version_folders
from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.endpoint.served_version import ServedVersion
from keras_unet3p.errors import InputError


class ServedModel:
    """The loaded versions of one model.

    The newest `num_versions` versions and those with a label are loaded. A new version is loaded
    and warmed up while the old ones still serve. Requests go to it when it is ready, and a version
    that is no longer needed is unloaded after its last request. A folder that does not load is
    tried again when it changes; until then the working versions stay.

    Args:
        name: the model's name.
        folder: the base folder; its subfolders named 1 to 2^63 - 1 are the versions.
        labels: label -> version number.
        num_versions: number of newest versions to serve.
        **options: `max_pixels` and `trusted` of `ServedVersion`.

    Raises:
        ValueError: if `folder` is not a base folder of versions.
    """

    def __init__(
        self,
        name: str,
        folder: str | Path,
        *,
        labels: Mapping[str, int] | None = None,
        num_versions: int = 1,
        **options: Any,
    ):
        self.name = name
        self._folder = Path(folder)
        self._labels = dict(labels or {})
        self._num_versions = num_versions
        self._options = options
        self._lock = threading.Lock()
        self._loaded: dict[int, ServedVersion] = {}
        self._states: dict[int, tuple[str, str, str]] = {}
        self._failed: dict[int, object] = {}
        if is_version_folder(self._folder):
            raise InputError(
                f"Model {name!r}: {self._folder} is itself a version folder; give the folder "
                f"above it ({self._folder.parent})."
            )
        if not self._version_folders():
            raise InputError(
                f"Model {name!r}: {self._folder} holds no version folder; expected subfolders "
                "named 1, 2, ... with a saved_model.pb in each."
            )

    def _version_folders(self) -> dict[int, list[Path]]:
        try:
            return version_folders(self._folder)
        except OSError:  # it has gone, for a moment or for good
            return {}

    def poll(self) -> None:
        """Reads the base folder once; loads and retires versions. For one thread only."""
        folders = self._version_folders()
        wanted = set(sorted(folders, reverse=True)[: self._num_versions])
        wanted |= set(self._labels.values()) & set(folders)
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
        # Old versions stay until all wanted versions are loaded. They stay for good if none of
        # these loads, or if the folders have been removed.
        if wanted and wanted <= set(self._loaded):
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
    def available(self) -> bool:
        """Whether a version is loaded."""
        return bool(self._loaded)

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
        if label not in self._labels:
            raise EndpointError(
                "INVALID_ARGUMENT", f"Unrecognized servable version label: {label[:100]}"
            )
        return self._labels[label]

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
