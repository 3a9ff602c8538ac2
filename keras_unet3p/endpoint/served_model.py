"""A model's base folder, watched for version folders."""

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

    The newest `num_versions` version folders and those that a label names are loaded. A new one
    is loaded and warmed beside the old ones; requests go to it when it is ready, and a version
    that is no longer wanted is unloaded after its last request. A folder that does not load is
    tried again only when it changes, and never takes the place of a working version.

    Args:
        name: the model's name.
        folder: the base folder; its subfolders named 1 to 2^63 - 1 are the versions.
        labels: label -> version number.
        num_versions: how many of the newest versions to serve.
        **options: `max_pixels` and `trusted` of `ServedVersion`.

    Raises:
        ValueError: when `folder` is no base folder of versions.
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
        """Looks at the base folder once; loads and retires versions. One thread calls this."""
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
        # What was loaded before stays until everything newer that is wanted has loaded, and for
        # good when nothing wanted loads or the folders have vanished.
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
        """Counts a request in at the newest loaded version, or at the one asked for.

        The caller calls `release` on it when the request has finished; until then the version
        stays loaded.

        Raises:
            EndpointError: NOT_FOUND when the version is not loaded, INVALID_ARGUMENT for an
                unknown label.
        """
        version = self._number(version, label)
        with self._lock:
            chosen = max(self._loaded, default=None) if version is None else version
            served = self._loaded.get(chosen) if chosen is not None else None
            if served is None or not served.acquire():
                request = (
                    f"Latest({self.name})"
                    if version is None
                    else f"Specific({self.name}, {version})"
                )
                raise EndpointError("NOT_FOUND", f"Servable not found for request: {request}")
            return served

    def _number(self, version: int | None, label: str | None) -> int | None:
        if label is None:
            return version
        if label not in self._labels:
            raise EndpointError(
                "INVALID_ARGUMENT", f"Unrecognized servable version label: {label[:100]}"
            )
        return self._labels[label]

    def status(
        self, version: int | None = None, label: str | None = None
    ) -> list[tuple[int, str, str, str]]:
        """Returns (version, state, error code, error message) of each version, newest first.

        Raises:
            EndpointError: NOT_FOUND for an unknown version, INVALID_ARGUMENT for an unknown label.
        """
        version = self._number(version, label)
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
