"""One version of a model, loaded in session mode."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.saved_model.loader_impl import SavedModelLoader
from tensorflow_serving.apis import prediction_log_pb2

from keras_unet3p.endpoint.claimed_pixels import claimed_pixels
from keras_unet3p.endpoint.endpoint_error import HTTP_STATUS, EndpointError
from keras_unet3p.endpoint.tensor_protos import array_from_proto
from keras_unet3p.endpoint.unsafe_operations import unsafe_operations
from keras_unet3p.errors import InputError

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
_DEFAULT_SIGNATURE = "serving_default"
_MESSAGE_LENGTH = 1000
_CODES = {number: name for name, number in vars(tf.errors).items() if isinstance(number, int)}


class ServedVersion:
    """A SavedModel in a TensorFlow session, as TensorFlow Serving loads it.

    Args:
        folder: the version folder, with saved_model.pb in it.
        name: the model's name.
        version: the version's number.
        max_pixels: largest height x width of an encoded image in a string input.
        max_bytes: largest input tensor, in bytes.
        trusted: whether a graph is served that can use files, the network or Python.

    Raises:
        EndpointError: FAILED_PRECONDITION when the folder holds no SavedModel that loads, its graph
            is not to be trusted, or a warm-up record fails.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        version: int,
        *,
        max_pixels: int,
        max_bytes: int,
        trusted: bool = False,
    ):
        self.name = name
        self.version = version
        self._max_pixels = max_pixels
        self._users = 0
        self._retired = False
        self._closed = False
        self._lock = threading.Lock()
        config = tf.compat.v1.ConfigProto()
        config.gpu_options.allow_growth = True
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        try:
            loader = SavedModelLoader(str(folder))
            meta_graph: Any = loader.get_meta_graph_def_from_tags(["serve"])
            # Before it is loaded, as loading runs what initialises it.
            if not trusted and (unsafe := unsafe_operations(meta_graph)):
                raise InputError(
                    f"its graph can use files, the network or Python: {', '.join(sorted(unsafe))}. "
                    "trust_models (--trust-model) serves it all the same"
                )
            loader.load(self._session, ["serve"])
            self.signatures = {
                key: _copied(signature)
                for key, signature in meta_graph.signature_def.items()
                if not key.startswith("__")
            }
            self._calls: dict[tuple[str, tuple[str, ...]], tuple] = {}
            # The model's own tiles may be larger than what requests may hold.
            self._max_bytes = sys.maxsize
            self._warm_up(folder / WARMUP_FILE)
            self._max_bytes = max_bytes
        except EndpointError as error:
            self._session.close()
            raise EndpointError(
                "FAILED_PRECONDITION", f"A warm-up record of {folder} failed: {error}"
            ) from error
        except Exception as error:
            self._session.close()
            raise EndpointError(
                "FAILED_PRECONDITION",
                f"{folder} is not a SavedModel that loads for serving: {_shorten(str(error))}",
            ) from error

    def _warm_up(self, file: Path) -> None:
        if not file.exists():
            return
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if not log.HasField("predict_log"):
                continue
            request = log.predict_log.request
            inputs = {
                key: array_from_proto(proto, key, self._max_bytes)
                for key, proto in request.inputs.items()
            }
            self.run(request.model_spec.signature_name, inputs)

    def signature(self, name: str, missing: str = "FAILED_PRECONDITION"):
        """Returns the SignatureDef called `name`; "" is "serving_default".

        Raises:
            EndpointError: with the code `missing` when there is none.
        """
        key = name or _DEFAULT_SIGNATURE
        if key not in self.signatures:
            raise EndpointError(
                missing,
                f'Serving signature name: "{_shorten(key, 100)}" not found in signature def; '
                f"this model has: {', '.join(sorted(self.signatures))}",
            )
        return self.signatures[key]

    def input_types(self, signature_name: str) -> dict[str, str]:
        """Returns a signature's inputs as name -> type name, sorted by name."""
        inputs = self.signature(signature_name, "INVALID_ARGUMENT").inputs
        return {key: tf.dtypes.as_dtype(inputs[key].dtype).name for key in sorted(inputs)}

    def run(
        self,
        signature_name: str,
        inputs: Mapping[str, np.ndarray],
        output_filter: Iterable[str] = (),
        deadline: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            signature_name: "" is "serving_default".
            inputs: arrays by input name; strings are object arrays of `bytes`.
            output_filter: names of the outputs wanted; all when empty.
            deadline: in seconds of `time.monotonic()`.

        Raises:
            EndpointError: FAILED_PRECONDITION for an unknown signature, INVALID_ARGUMENT for
                inputs that do not fit it, DEADLINE_EXCEEDED, or what TensorFlow raised.
        """
        signature = self.signature(signature_name)
        if set(inputs) != set(signature.inputs):
            raise EndpointError(
                "INVALID_ARGUMENT",
                "input tensor aliases do not match the signature: found "
                f"{_shorten(str(sorted(inputs)), 200)}. Inputs expected to be in the set "
                f"{{{','.join(sorted(signature.inputs))}}}.",
            )
        wanted = tuple(output_filter) or tuple(sorted(signature.outputs))
        for alias in wanted:
            if alias not in signature.outputs or wanted.count(alias) > 1:
                raise EndpointError(
                    "INVALID_ARGUMENT",
                    f"output tensor alias not found in signature or named twice: "
                    f"{_shorten(alias, 100)}. Outputs expected to be in the set "
                    f"{{{','.join(sorted(signature.outputs))}}}.",
                )
        for key, array in inputs.items():
            self._check_input(key, array, signature.inputs[key])
        names, call = self._call(signature_name or _DEFAULT_SIGNATURE, signature, wanted)
        options = None
        if deadline is not None:
            remaining = int((deadline - time.monotonic()) * 1000)
            if remaining <= 0:
                raise EndpointError("DEADLINE_EXCEEDED", "The deadline passed.")
            options = tf.compat.v1.RunOptions(timeout_in_ms=min(remaining, 2**31 - 1))
        try:
            results = call(*(inputs[key] for key in names), options=options)
        except tf.errors.OpError as error:
            code = _CODES.get(error.error_code, "UNKNOWN")
            if code == "CANCELLED" and deadline is not None and time.monotonic() >= deadline:
                code = "DEADLINE_EXCEEDED"
            raise EndpointError(
                code if code in HTTP_STATUS else "UNKNOWN", _shorten(error.message)
            ) from None
        # A string scalar comes back as bytes.
        return {
            alias: result if isinstance(result, np.ndarray) else np.array(result, _dtype(result))
            for alias, result in zip(wanted, results, strict=True)
        }

    def _call(self, name: str, signature, wanted: tuple[str, ...]) -> tuple:
        key = (name, wanted)
        found = self._calls.get(key)
        if found is None:
            graph = self._session.graph
            names = sorted(signature.inputs)
            call = self._session.make_callable(
                [graph.get_tensor_by_name(signature.outputs[alias].name) for alias in wanted],
                [graph.get_tensor_by_name(signature.inputs[alias].name) for alias in names],
                accept_options=True,
            )
            if len(self._calls) > 100:
                # Output filters are the client's to choose; do not keep them all.
                self._calls.clear()
            found = self._calls[key] = (names, call)
        return found

    def _check_input(self, name: str, array: np.ndarray, info) -> None:
        dtype = tf.dtypes.as_dtype(info.dtype)
        is_string = array.dtype == object
        if is_string != (dtype == tf.string) or not (
            is_string or array.dtype == dtype.as_numpy_dtype
        ):
            found = "string" if is_string else array.dtype.name
            raise EndpointError(
                "INVALID_ARGUMENT", f"Input {name!r} has type {found}, expected {dtype.name}."
            )
        shape = tf.TensorShape(info.tensor_shape)
        if not shape.is_compatible_with(array.shape):
            raise EndpointError(
                "INVALID_ARGUMENT",
                f"Input {name!r} has shape {list(array.shape)}, expected {shape} (None is any).",
            )
        if array.size == 0:
            raise EndpointError(
                "INVALID_ARGUMENT",
                f"Input {name!r} is empty: its shape is {list(array.shape)}.",
            )
        if not is_string and array.nbytes > self._max_bytes:
            raise EndpointError(
                "INVALID_ARGUMENT",
                f"Input {name!r} takes {array.nbytes} bytes; this endpoint accepts "
                f"{self._max_bytes}.",
            )
        if is_string:
            for item in array.ravel().tolist():
                try:
                    pixels = claimed_pixels(item) or 0
                except ValueError as error:
                    raise EndpointError(
                        "INVALID_ARGUMENT", f"An image in input {name!r} {error}."
                    ) from None
                if pixels > self._max_pixels:
                    raise EndpointError(
                        "INVALID_ARGUMENT",
                        f"An image in input {name!r} claims to have {pixels} pixels; this "
                        f"endpoint decodes images of up to {self._max_pixels} pixels.",
                    )

    def acquire(self) -> bool:
        """Counts a request in; False when the version has been retired already."""
        with self._lock:
            if self._retired:
                return False
            self._users += 1
            return True

    def release(self) -> None:
        """Counts a request out, and unloads a retired version with its last one."""
        with self._lock:
            self._users -= 1
        self._close_if_unused()

    def retire(self) -> None:
        """Takes no more requests, and unloads once those that run have finished."""
        with self._lock:
            self._retired = True
        self._close_if_unused()

    @property
    def closed(self) -> bool:
        """Whether the session is closed."""
        return self._closed

    def _close_if_unused(self) -> None:
        with self._lock:
            if not self._retired or self._users or self._closed:
                return
            self._closed = True
        # The callables hold the session; drop them so that its memory goes now.
        self._calls = {}
        self._session.close()


def _dtype(value) -> type | None:
    return object if isinstance(value, bytes) else None


def _copied(message):
    # A part of a message keeps all of it in memory, which here is the graph with its weights.
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _shorten(text: str, length: int = _MESSAGE_LENGTH) -> str:
    # Errors of Python code in a graph bring their traceback along.
    text = text.split("Traceback (most recent call last)")[0].rstrip()
    return text if len(text) <= length else text[: length - 3] + "..."
