"""A client's requests over REST."""

from __future__ import annotations

import base64
import json
import os
import threading
import weakref
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import requests

from keras_unet3p.client.endpoint_error import CODE_OF_HTTP_STATUS, EndpointError
from keras_unet3p.client.signature_header import SIGNATURE_HEADER
from keras_unet3p.client.tensor_types import NAME_OF_REST_TYPE
from keras_unet3p.errors import InputError


class RestTransport:
    """Sends requests to one model of an endpoint. May be used from several threads.

    Args:
        url: "http://host:port" or "https://host:port", optionally with a path before "/v1".
        model: name of the model. None asks the endpoint, which only the local server answers.
        version: number of a version.
        label: label of a version.
        use_proxy: whether proxies, keys and certificates of the environment are used.
        headers: go with every request.
        ca_file: certificates that are trusted instead of the system's.
    """

    def __init__(
        self,
        url: str,
        model: str | None,
        version: int | None,
        label: str | None,
        use_proxy: bool,
        headers: dict[str, str],
        ca_file: str | os.PathLike[str] | None,
    ):
        self._use_proxy = use_proxy
        self._headers = headers
        # Given with each request: `requests` prefers the environment's to its session's.
        self._ca_file = None if ca_file is None else os.fspath(ca_file)
        self._base = url.rstrip("/")
        self._model = model
        self._choice = ""
        self._version_or_label: dict[str, int | str] = {}
        if version is not None:
            self._choice = f"/versions/{version}"
            self._version_or_label = {"version": version}
        elif label is not None:
            self._choice = f"/labels/{quote(label, safe='')}"
            self._version_or_label = {"label": label}
        self._threads = threading.local()
        # The session of a thread is deleted with the thread.
        self._sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()

    def _session(self) -> requests.Session:
        session = getattr(self._threads, "session", None)
        if session is None:
            session = self._threads.session = requests.Session()
            session.trust_env = self._use_proxy
            self._sessions.add(session)
        return session

    def _request(
        self,
        method: str,
        path: str,
        timeout: float,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        try:
            response = self._session().request(
                method,
                self._base + path,
                data=body,
                timeout=max(timeout, 0.001),
                headers={**(headers or {}), **self._headers},
                verify=self._ca_file,
                allow_redirects=False,
            )
        except requests.Timeout as error:
            raise EndpointError("DEADLINE_EXCEEDED", f"No answer in time: {error}") from error
        except requests.RequestException as error:
            raise EndpointError("UNAVAILABLE", f"{self._base}: {error}") from error
        try:
            answer = json.loads(response.content)
        except ValueError:
            answer = None
        if response.status_code == 200 and isinstance(answer, dict):
            return answer
        message = answer.get("error") if isinstance(answer, dict) else None
        code = CODE_OF_HTTP_STATUS.get(response.status_code, "UNKNOWN")
        raise EndpointError(
            code,
            str(message or f"{self._base}{path} answered {response.status_code} without JSON."),
            response.status_code,
        )

    def _path(self, timeout: float) -> str:
        if self._model is None:
            self._model = self._find_model(timeout)
        return f"/v1/models/{quote(self._model, safe='')}{self._choice}"

    def _find_model(self, timeout: float) -> str:
        try:
            names = list(self._request("GET", "/health", timeout)["models"])
        except (EndpointError, KeyError, TypeError) as error:
            if getattr(error, "code", None) in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                raise
            # TensorFlow Serving does not list its models. This is its default name.
            return "model"
        if len(names) != 1:
            raise InputError(f"model: this endpoint serves {names}; name one of them.")
        return names[0]

    def card(self, timeout: float) -> dict[str, Any]:
        """Returns the model card, which the local endpoint has beside TensorFlow Serving's API."""
        self._path(timeout)  # finds out the model's name
        query = urlencode({"model": self._model, **self._version_or_label})
        return self._request("GET", f"/page/card?{query}", timeout)

    def predict(
        self,
        signature: str,
        inputs: dict[str, np.ndarray],
        output: str,
        dtype: str,
        timeout: float,
    ) -> np.ndarray:
        """Runs a signature and returns one output. In JSON a single output has no name."""
        columns = {
            name: _encode(array) if array.dtype == object else array.tolist()
            for name, array in inputs.items()
        }
        body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
        headers = {"Content-Type": "application/json", SIGNATURE_HEADER: signature}
        answer = self._request("POST", self._path(timeout) + ":predict", timeout, body, headers)
        if "outputs" not in answer:
            raise EndpointError("UNKNOWN", 'The answer has no "outputs".')
        found = answer["outputs"]
        if isinstance(found, dict):  # of several outputs, by their names
            if output not in found:
                raise EndpointError("UNKNOWN", f"The answer has no output {output!r}.")
            found = found[output]
        if dtype != "string":
            return np.asarray(found, dtype)
        return _decode(np.array(found, object))

    def status(self, timeout: float) -> list[dict[str, Any]]:
        """Returns the versions' states."""
        answer = self._request("GET", self._path(timeout), timeout)
        return [
            {
                "version": int(item["version"]),
                "state": item["state"],
                "error_code": item.get("status", {}).get("error_code", "OK"),
                "error_message": item.get("status", {}).get("error_message", ""),
            }
            for item in answer["model_version_status"]
        ]

    def metadata(self, timeout: float) -> dict[str, Any]:
        """Returns the signatures."""
        answer = self._request("GET", self._path(timeout) + "/metadata", timeout)

        def side(tensors: dict) -> dict:
            return {
                name: {
                    "dtype": NAME_OF_REST_TYPE.get(info["dtype"], info["dtype"]),
                    "shape": None
                    if info["tensor_shape"].get("unknown_rank")
                    else [int(dim["size"]) for dim in info["tensor_shape"].get("dim", [])],
                }
                for name, info in tensors.items()
            }

        spec = answer["model_spec"]
        return {
            "model": spec["name"],
            "version": int(spec["version"]),
            "signatures": {
                name: {
                    "inputs": side(signature.get("inputs", {})),
                    "outputs": side(signature.get("outputs", {})),
                }
                for name, signature in answer["metadata"]["signature_def"]["signature_def"].items()
                if not name.startswith("__")
            },
        }

    def close(self) -> None:
        """Closes the connections."""
        for session in list(self._sessions):
            session.close()


def _encode(array: np.ndarray) -> Any:
    encode = np.frompyfunc(lambda item: {"b64": base64.b64encode(item).decode()}, 1, 1)
    return encode(array).tolist()


def _decode(objects: np.ndarray) -> np.ndarray:
    def decode(item) -> bytes:
        return base64.b64decode(item["b64"]) if isinstance(item, dict) else item.encode()

    return np.asarray(np.frompyfunc(decode, 1, 1)(objects), object)
