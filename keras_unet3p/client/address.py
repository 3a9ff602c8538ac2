"""The name of a model behind an endpoint, in one URL."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from keras_unet3p.client.client import Client
from keras_unet3p.errors import InputError

_PATH = re.compile(
    r"(?:v1/models/)?(?P<model>[^/]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/]+))?"
)


class EndpointAddress(NamedTuple):
    """Where a model is served: its server, and which model and version of it.

    Attributes:
        server: "http://HOST:PORT" or "grpc://HOST:PORT", as `Client` takes it.
        model: its name; None for the only one that the endpoint serves.
        version, label: of the model; both None for the newest.

    Example:
        >>> EndpointAddress("http://localhost:8501", "cells", version=3).version
        3
    """

    server: str
    model: str | None = None
    version: int | None = None
    label: str | None = None

    @classmethod
    def of(cls, url: str) -> EndpointAddress:
        """Of `http://HOST:PORT[/MODEL[/versions/N or /labels/LABEL]]`, or grpc.

        TensorFlow Serving's own path, `/v1/models/MODEL...`, is the same.

        Raises:
            ValueError: the path is another one.

        Example:
            >>> EndpointAddress.of("http://localhost:8501/cells/labels/canary")[1:]
            ('cells', None, 'canary')
        """
        parts = urlsplit(url)
        server, path = f"{parts.scheme}://{parts.netloc}", parts.path.strip("/")
        if not path:
            return cls(server)
        found = _PATH.fullmatch(path)
        if found is None:
            raise InputError(
                f"{server}/{path}: expected MODEL, MODEL/versions/N or MODEL/labels/LABEL after "
                "the host"
            )
        version, label = found["version"], found["label"]
        return cls(
            server,
            unquote(found["model"]),
            None if version is None else int(version),
            None if label is None else unquote(label),
        )

    def client(self, **options: Any) -> Client:
        """A client of it; `options` are further arguments of `Client`.

        `access_of_environment(address.server)` gives those that the environment names: the key.

        Example:
            >>> EndpointAddress("http://localhost:8501", "cells").client().url
            'http://localhost:8501'
        """
        return Client(self.server, self.model, version=self.version, label=self.label, **options)
