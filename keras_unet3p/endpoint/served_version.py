"""One version of a model, loaded into a TensorFlow session."""

from __future__ import annotations

import functools
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from keras_unet3p import compat
from keras_unet3p.artifacts import ModelCard
from keras_unet3p.client.endpoint_error import HTTP_STATUS, EndpointError
from keras_unet3p.endpoint.claimed_pixels import claimed_pixels
from keras_unet3p.endpoint.drift_watch import DriftWatch
from keras_unet3p.endpoint.tensor_protos import array_from_proto
from keras_unet3p.endpoint.unsafe_operations import unsafe_operations
from keras_unet3p.errors import InputError

_LOG = logging.getLogger(__name__)
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
_DEFAULT_SIGNATURE = "serving_default"
_MESSAGE_LENGTH = 1000
_CODES = {number: name for name, number in vars(tf.errors).items() if isinstance(number, int)}


class ServedVersion:
    """A SavedModel in a TensorFlow session, as TensorFlow Serving loads it.

    Args:
        folder: the version folder, with saved_model.pb in it.
        name: the model's name.
        version: number of the version.
        max_pixels: largest height x width of an encoded image in a string input.
        trusted: whether to serve a graph that can use files, the network or Python.

    Attributes:
        card: the model card; None of an export of another program, or where it cannot be read.

    Raises:
        EndpointError: FAILED_PRECONDITION if the folder holds no SavedModel that loads, its graph
            is not trusted, or a warm-up record fails.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        version: int,
        *,
        max_pixels: int,
        trusted: bool = False,
    ):
        self.name = name
        self.version = version
        self.max_pixels = max_pixels
        self._users = 0
        # Called with the version's number after unloading; set when the version is retired.
        self._when_unloaded: Callable[[int], None] | None = None
        self._closed = False
        self._drift: DriftWatch | None = None  # does not see the warm-up
        self._lock = threading.Lock()
        config = tf.compat.v1.ConfigProto()
        config.gpu_options.allow_growth = True
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        try:
            loader = compat.saved_model_loader(str(folder))
            meta_graph: Any = loader.get_meta_graph_def_from_tags(["serve"])
            # This comes before loading, because loading runs initialisers.
            if not trusted and (unsafe := unsafe_operations(meta_graph)):
                raise InputError(
                    f"its graph can use files, the network or Python: {', '.join(sorted(unsafe))}. "
                    "trust_models (--trust-model) serves it anyway"
                )
            loader.load(self._session, ["serve"])
            self.signatures = {
                key: _copied(signature)
                for key, signature in meta_graph.signature_def.items()
                if not key.startswith("__")
            }
            # Clients choose the output filters, so the number of kept callables is limited.
            self._call = functools.lru_cache(maxsize=100)(
                functools.partial(_make_call, self._session, self.signatures)
            )
            self._warm_up(folder / WARMUP_FILE)
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
        self.card = _card(folder, f"{name} version {version}")
        self._drift = DriftWatch(folder, name, version)

    def _warm_up(self, file: Path) -> None:
        if not file.exists():
            return
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if not log.HasField("predict_log"):
                continue
            request = log.predict_log.request
            # The model's own tiles may be larger than the limit for requests.
            inputs = {
                key: array_from_proto(proto, key, sys.maxsize)
                for key, proto in request.inputs.items()
            }
            self.run(request.model_spec.signature_name, inputs)

    def signature(
        self,
        name: str,
        missing: str = "FAILED_PRECONDITION",
        message: str = 'Serving signature key "{}" not found.',
    ):
        """Returns the SignatureDef named `name`; "" is "serving_default".

        Raises:
            EndpointError: with the code `missing` and the `message` about it if there is none.
        """
        key = name or _DEFAULT_SIGNATURE
        if key not in self.signatures:
            raise EndpointError(
                missing,
                f"{message.format(_shorten(key, 100))} "
                f"This model has: {', '.join(sorted(self.signatures))}",
            )
        return self.signatures[key]

    def input_types(self, signature_name: str) -> dict[str, str]:
        """Returns a signature's inputs as name -> type name, sorted by name.

        Raises:
            EndpointError: INVALID_ARGUMENT for an unknown signature.
        """
        inputs = self.signature(
            signature_name,
            "INVALID_ARGUMENT",
            'Serving signature name: "{}" not found in signature def.',
        ).inputs
        return {key: tf.dtypes.as_dtype(inputs[key].dtype).name for key in sorted(inputs)}

    def run_examples(self, signature_name: str, kind: str) -> NoReturn:
        """Refuses to classify or to regress examples, as no segmentation network can.

        Args:
            signature_name: "" is "serving_default".
            kind: "classification" or "regression".

        Raises:
            EndpointError: INVALID_ARGUMENT if the signature takes no examples; UNIMPLEMENTED if it
                does, because this endpoint serves none.
        """
        signature = self.signature(
            signature_name, "INVALID_ARGUMENT", "No signature was found with the name: {}."
        )
        if len(signature.inputs) != 1:
            raise EndpointError("INVALID_ARGUMENT", "Expected one input Tensor.")
        if "inputs" not in signature.inputs:
            raise EndpointError(
                "INVALID_ARGUMENT",
                f"No {kind} inputs found in SignatureDef: {_shorten(str(signature), 500)}",
            )
        raise EndpointError("UNIMPLEMENTED", "This endpoint serves Predict only.")

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
            output_filter: names of the wanted outputs; empty means all.
            deadline: in seconds of `time.monotonic()`.

        Raises:
            EndpointError: FAILED_PRECONDITION for an unknown signature, INVALID_ARGUMENT for
                inputs that do not fit it, DEADLINE_EXCEEDED, or TensorFlow's own error.
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
        call = self._call(signature_name or _DEFAULT_SIGNATURE, wanted)
        options = None
        if deadline is not None:
            remaining = int((deadline - time.monotonic()) * 1000)
            if remaining <= 0:
                raise EndpointError("DEADLINE_EXCEEDED", "The deadline passed.")
            options = tf.compat.v1.RunOptions(timeout_in_ms=min(remaining, 2**31 - 1))
        try:
            results = call(*(inputs[key] for key in sorted(inputs)), options=options)
        except tf.errors.OpError as error:
            code = _CODES.get(error.error_code, "UNKNOWN")
            if code == "CANCELLED" and deadline is not None and time.monotonic() >= deadline:
                code = "DEADLINE_EXCEEDED"
            raise EndpointError(
                code if code in HTTP_STATUS else "UNKNOWN", _shorten(error.message)
            ) from None
        # A scalar string is returned as bytes. NumPy's bytes type would cut its trailing zeros.
        outputs = {
            alias: np.asarray(result, object if isinstance(result, bytes) else None)
            for alias, result in zip(wanted, results, strict=True)
        }
        if self._drift is not None:
            self._drift.see(inputs, outputs)
        return outputs

    def _check_input(self, name: str, array: np.ndarray, info) -> None:
        found = "string" if array.dtype == object else array.dtype.name
        expected = tf.dtypes.as_dtype(info.dtype).name
        if found != expected:
            raise EndpointError(
                "INVALID_ARGUMENT", f"Input {name!r} has type {found}, expected {expected}."
            )
        shape = tf.TensorShape(info.tensor_shape)
        if not shape.is_compatible_with(array.shape):
            raise EndpointError(
                "INVALID_ARGUMENT",
                f"Input {name!r} has shape {list(array.shape)}, expected {shape} (None is any).",
            )
        # Kernels may end the process over empty arrays, and an export refuses them. Strings reach
        # no kernel but the loop over them, and no rows give none.
        if array.size == 0 and found != "string":
            raise EndpointError(
                "INVALID_ARGUMENT",
                f"Input {name!r} is empty: its shape is {list(array.shape)}.",
            )
        if found == "string":
            for item in array.ravel().tolist():
                try:
                    pixels = claimed_pixels(item) or 0
                except ValueError as error:
                    raise EndpointError(
                        "INVALID_ARGUMENT", f"An image in input {name!r} {error}."
                    ) from None
                if pixels > self.max_pixels:
                    raise EndpointError(
                        "INVALID_ARGUMENT",
                        f"An image in input {name!r} claims to have {pixels} pixels; this "
                        f"endpoint decodes images of up to {self.max_pixels} pixels.",
                    )

    def acquire(self) -> bool:
        """Registers a request; returns False if the version is already retired."""
        with self._lock:
            if self._when_unloaded is not None:
                return False
            self._users += 1
            return True

    def release(self) -> None:
        """Unregisters a request; a retired version is unloaded after its last one."""
        with self._lock:
            self._users -= 1
        self._close_if_unused()

    def retire(self, when_unloaded: Callable[[int], None]) -> None:
        """Refuses new requests, and unloads the version when the running ones have finished.

        Args:
            when_unloaded: called with the version's number after unloading.
        """
        with self._lock:
            self._when_unloaded = when_unloaded
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        with self._lock:
            if self._when_unloaded is None or self._users or self._closed:
                return
            self._closed = True
        # The callables hold the session; they are dropped so that its memory is freed now.
        self._call.cache_clear()
        self._session.close()
        self._when_unloaded(self.version)


def _card(folder: Path, model: str) -> ModelCard | None:
    try:
        return ModelCard.of_version(folder)
    except (ValueError, OSError) as error:
        _LOG.warning("%s: served without its model card: %s", model, error)
        return None


def _make_call(session, signatures: Mapping[str, Any], name: str, wanted: tuple[str, ...]):
    """A function from a signature's inputs, sorted by name, to the wanted outputs."""
    signature, find = signatures[name], session.graph.get_tensor_by_name
    outputs = [find(signature.outputs[alias].name) for alias in wanted]
    inputs = [find(signature.inputs[alias].name) for alias in sorted(signature.inputs)]
    return session.make_callable(outputs, inputs, accept_options=True)


def _copied(message):
    # A part of a message keeps the whole message in memory, here the graph with its weights.
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _shorten(text: str, length: int = _MESSAGE_LENGTH) -> str:
    # Errors of Python code in a graph contain a traceback.
    text = text.split("Traceback (most recent call last)")[0].rstrip()
    return text if len(text) <= length else text[: length - 3] + "..."
