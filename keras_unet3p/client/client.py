"""A client for an endpoint that serves an exported model. It does not import TensorFlow."""

from __future__ import annotations

import os
import random
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import numpy as np

from keras_unet3p.client.access import LOOPBACK, check_headers
from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.client.sent_images import (
    Image,
    decode_mask,
    encode_image,
    fits_png,
    model_pixels,
    open_image,
    stored_pixels,
)
from keras_unet3p.errors import InputError, needing, printable
from keras_unet3p.images.drift import DriftMonitor, DriftWarning

if TYPE_CHECKING:
    from keras_unet3p.geometry import TileGeometry
    from keras_unet3p.postprocessing.instance_rule import InstanceRule

T = TypeVar("T")

_AGAIN = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")

_STRETCHED_TILE = "stretched_tile"
"""How exports name the tiles of images that are stretched; see `export.saved_model`."""


class Client:
    """Segments images through an endpoint: TensorFlow Serving or the local server.

    It may be used from several threads. As a context manager it closes its connections at the end.

    A request is repeated when the endpoint is busy (RESOURCE_EXHAUSTED, 429), unavailable
    (UNAVAILABLE, 503), or the connection breaks. The waits in between grow and are randomised; the
    call ends after `timeout` at the latest.

    Args:
        url: "http://host:port" or "https://host:port" for REST, "grpc://host:port" or
            "grpcs://host:port" for gRPC. For arrays gRPC is faster.
        model: name of the model. By default, over REST, the only model that a local server
            serves; otherwise "model", the default of TensorFlow Serving's container image.
        version: number of a version; by default the newest.
        label: label of a version, such as "stable" or "canary".
        timeout: seconds that a call may take, repetitions included.
        retries: largest number of repetitions of a request.
        backoff: seconds before the first repetition; doubled before each further one.
        max_backoff: longest wait between two attempts, in seconds.
        max_message_bytes: size of the largest answer over gRPC.
        headers: names and values that go with every request, as HTTP headers or gRPC metadata: the
            key that a proxy asks for, `{"X-Api-Key": ...}`.
        ca_file: file of the certificates (PEM) that are trusted with https and grpcs, instead of
            the system's.
        drift: sees every image that `predict` and `predict_instances` segment, and its answer. What
            it finds is a `DriftWarning`: images that no longer are what the model was trained on.

    Raises:
        ValueError: if the URL is of an unknown kind, both version and label are given, HTTP or gRPC
            does not take a header, or `ca_file` cannot be read.

    Example:
        >>> client = Client("http://localhost:8501", "cells")
        >>> mask = client.predict("image.png")  # doctest: +SKIP
        >>> client.close()
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 300.0,
        retries: int = 8,
        backoff: float = 0.1,
        max_backoff: float = 5.0,
        max_message_bytes: int = 2**30,
        headers: Mapping[str, str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        drift: DriftMonitor | None = None,
    ):
        if version is not None and label is not None:
            raise InputError("version and label: give one of them, not both.")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https", "grpc", "grpcs") or not parts.netloc:
            raise InputError(
                f"url: expected http(s)://host:port or grpc(s)://host:port, found {url!r}."
            )
        headers = check_headers(headers or {})
        if ca_file is not None and not os.path.isfile(ca_file):
            raise InputError(f"ca_file: {printable(ca_file)} is no file")
        # A server on this machine is never reached through a proxy.
        use_proxy = parts.hostname not in LOOPBACK
        if parts.scheme.startswith("http"):
            with needing("serving", "client.Client"):
                from keras_unet3p.client.rest_transport import RestTransport
            self._transport = RestTransport(url, model, version, label, use_proxy, headers, ca_file)
        else:
            with needing("grpc", "client.Client"):
                from keras_unet3p.client.grpc_transport import GrpcTransport
            self._transport = GrpcTransport(
                url, model, version, label, use_proxy, max_message_bytes, headers, ca_file
            )
        self.url = url
        self._choice = (version, label)
        self._drift = drift
        self._headers, self._ca_file = headers, ca_file
        self._max_message_bytes = max_message_bytes
        self._timeout = timeout
        self._retries = retries
        self._backoff = backoff
        self._max_backoff = max_backoff
        self._metadata: dict[str, Any] | None = None
        self._lock = threading.Lock()

    def predict(self, image: Image, signature: str | None = None) -> np.ndarray:
        """Segments one image of any size.

        Args:
            image: an encoded image as bytes; the path of an image file or an NPY file; or an array
                (H, W) or (H, W, C) in RGB order. PNG and JPEG bytes are sent unchanged; BMP, TIFF
                and other formats that OpenCV reads are sent as PNG. Arrays hold integers over the
                whole range of their type, booleans, or floats in [0, 1].
            signature: "serving_default" sends the image as PNG, lossless up to 16 bit. "classes"
                sends it as numbers, which is needed for images that PNG cannot hold: signed
                integers, 2 channels or more than 4. By default the one that fits the image.

        Returns:
            Class ids, uint8 (H, W); 0 and 1 for a model with one class, by the threshold of its
            export. Small objects and holes are as the network left them: where the model card has
            `training.postprocessing`, `postprocessing.MaskRule.from_dict(...).cleaned(mask)`
            removes them. For a model whose classes
            may overlap, "classes" gives one map per class, (H, W, K), and "serving_default" gives
            the set of classes of each pixel as the sum of 2**k, uint8 or uint16 (H, W).

        Raises:
            ValueError: if `image` is not of an accepted kind.
            EndpointError: the endpoint's answer; DEADLINE_EXCEEDED or UNAVAILABLE if there was no
                answer.
        """
        if signature not in (None, "serving_default", "classes"):
            raise InputError(
                f"signature: expected 'serving_default' or 'classes', found {signature!r}."
            )
        if signature is None:
            image = open_image(image)
            signature = "serving_default" if fits_png(image) else "classes"
        if signature == "serving_default":
            mask = decode_mask(self.predict_bytes(encode_image(image)))
        else:
            mask = self._predict_pixels(signature, image).astype(np.uint8, copy=False)
        self._compare(image, mask, instances=False)
        return mask

    def predict_bytes(self, image: bytes) -> bytes:
        """Segments an encoded image and returns the class ids as PNG bytes.

        Args:
            image: PNG, JPEG or BMP bytes.

        Raises:
            EndpointError: as `predict`.
        """
        return self.run("serving_default", {"image_bytes": _one(bytes(image))})[0]

    def predict_instances(self, image: Image) -> np.ndarray:
        """Segments one image of any size into objects, each with a number of its own.

        Args:
            image: as for `predict`.

        Returns:
            Instance ids, int32 (H, W): 0 the background, the objects from 1 on.

        Raises:
            ValueError: if `image` is not of an accepted kind.
            EndpointError: as `predict`; FAILED_PRECONDITION if the model does not tell instances
                apart, INVALID_ARGUMENT for more than 65,535 of them in an image sent as PNG.
        """
        image = open_image(image)
        if not fits_png(image):
            ids = self._predict_pixels("instances", image, "instance_ids")
        else:
            inputs = {"image_bytes": _one(encode_image(image))}
            ids = decode_mask(self.run("instances_of_bytes", inputs, "instance_bytes")[0])
        ids = ids.astype(np.int32, copy=False)
        self._compare(image, ids, instances=True)
        return ids

    def probabilities(self, image: Image, *, compressed: bool = False) -> np.ndarray:
        """Segments one image and returns float32 (H, W, K) probabilities.

        Args:
            image: as for `predict`.
            compressed: take the image as PNG and the answer as one PNG of 8 bits per class, from
                the signature `probabilities_of_bytes`: in steps of 1/255, and of a small part of
                the bytes. Otherwise the answer holds H * W * K numbers, so that the image must
                not be very large.

        Raises:
            ValueError: if `image` is not of an accepted kind or its channels do not fit the model.
            EndpointError: as `predict`; FAILED_PRECONDITION for `compressed` if the model has no
                such signature.
        """
        if not compressed:
            return self._predict_pixels("probabilities", image)
        inputs = {"image_bytes": _one(encode_image(open_image(image)))}
        pngs = self.run("probabilities_of_bytes", inputs, "probability_bytes")[0]
        return np.stack([decode_mask(png) for png in pngs], -1) / np.float32(255.0)

    def predict_tiles(self, tiles: np.ndarray) -> np.ndarray:
        """Runs the network itself on tiles of its own size.

        Args:
            tiles: float32 (B, T, T, C), values in [0, 1].

        Returns:
            Probabilities, float32 (B, T', T', K). T' is less than T for unpadded networks.

        Raises:
            EndpointError: as `predict`.
        """
        return self.run("tile", {self._only("tile", "inputs"): np.asarray(tiles, np.float32)})

    def predict_large(
        self,
        image: Any,
        output: Any = None,
        *,
        geometry: TileGeometry | None = None,
        halo: int | None = None,
        stride: int = 32,
        kind: str = "classes",
        threshold: float = 0.5,
        rule: InstanceRule | None = None,
        percentiles: tuple[float, float] | None = None,
        test_time_augmentation: int = 1,
        concurrency: int = 8,
        tiles_per_request: int = 1,
        journal: str | os.PathLike | None = None,
        seconds_between_records: float = 2.0,
        progress: bool | Callable[[int, int], None] = False,
    ) -> Any:
        """Segments an image that is too large for one request, or for memory, tile by tile.

        Only the tiles being sent are in memory. All tiles go to the same version of the model, even
        if a newer one appears meanwhile. The client's `timeout` and `retries` apply to each
        request.

        Args:
            image: (H, W) or (H, W, C), anything that can be sliced: an array, a memory map, a Zarr
                array. Its values are floats in [0, 1], or integers of 8 or 16 bits, which are
                divided by the largest value of their type. Or the path of a .npy file,
                or of one of the other formats of `images.open_planes` that holds one image.
            output: where the result goes. None makes an array. A path must end in .npy; the file
                appears when it is complete. Anything else that windows can be assigned to is
                filled.
            geometry: how the image is cut into tiles. The exported model's card has it:
                `TileGeometry.from_dict(card["geometry"])`. By default it is made from the
                signature's tile size and the next two arguments.
            halo: pixels of context on each side of a tile that are not kept. By default an eighth
                of the tile; for an unpadded network, the pixels that it removes.
            stride: a multiple of the network's largest pooling step.
            kind: "classes" gives (H, W), uint8 for up to 256 classes and uint16 for more, or uint8
                (H, W, K) where classes may overlap. "probabilities" gives float32 (H, W, K). Of a
                model that tells instances apart, its two maps, foreground and core, or with
                "instances" its objects' ids, int32 (H, W), none of them cut; see
                `StreamingPredictor`.
            threshold: for one class, a pixel belongs to class 1 if its probability is at least
                this. The exported model's own threshold is in its card; endpoints do not report it.
            rule: what makes instances of the maps. The card has it under "training":
                `InstanceRule.from_dict(card["training"]["postprocessing"])`.
            percentiles: for a model that has each whole image stretched, those that its card has
                under "normalization"; the image is read once for them before.
            test_time_augmentation: as `StreamingPredictor`, in as many times the requests; the card
                has that of the model's own masks.
            concurrency: number of requests sent at the same time.
            tiles_per_request: number of tiles in one request; more than one if the server batches.
            journal: file that records the finished tiles, so that the same call continues where a
                stopped one ended. If `output` is a path, it is OUTPUT.journal by default.
            seconds_between_records: how often progress is written to the journal.
            progress: True shows a progress bar. A function is called with the number of finished
                tiles and the number of all tiles.

        Returns:
            The output; for a path, a read-only memory map of it.

        Raises:
            ValueError: if image, output, geometry, percentiles or journal does not fit, or another
                process writes to output or journal.
            OSError: if the disk is full.
            EndpointError: as `predict`. The finished tiles stay in `output` and `journal`.
        """
        from keras_unet3p.client.concurrent_tiles import ConcurrentTiles
        from keras_unet3p.tiling.streaming_predictor import StreamingPredictor

        metadata = self.metadata()
        client = self
        if self._choice == (None, None):
            client = self._pinned(metadata["model"], metadata["version"])
        try:
            if geometry is None:
                geometry = _geometry(client._signature("tile"), halo, stride)
            _check_percentiles(client._only("tile", "inputs"), percentiles)
            with ConcurrentTiles(
                client.predict_tiles,
                f"{metadata['model']} version {metadata['version']}",
                multi_label=_gives_one_map_per_class(metadata["signatures"]),
                percentiles=percentiles,
                concurrency=concurrency,
                tiles_per_request=tiles_per_request,
            ) as tiles:
                predictor = StreamingPredictor(
                    tiles,
                    geometry=geometry,
                    batch_size=concurrency * tiles_per_request,
                    threshold=threshold,
                    rule=rule,
                    test_time_augmentation=test_time_augmentation,
                    seconds_between_records=seconds_between_records,
                )
                return predictor.predict(
                    image, output, kind=kind, journal=journal, progress=progress
                )
        finally:
            if client is not self:
                client.close()

    def _pinned(self, model: str, version: int) -> Client:
        return Client(
            self.url,
            model,
            version=version,
            timeout=self._timeout,
            retries=self._retries,
            backoff=self._backoff,
            max_backoff=self._max_backoff,
            max_message_bytes=self._max_message_bytes,
            headers=self._headers,
            ca_file=self._ca_file,
        )

    def status(self) -> list[dict[str, Any]]:
        """Returns the model's versions, the newest first.

        Each version is a dict with "version" (int), "state" ("AVAILABLE", "LOADING", ...),
        "error_code" and "error_message".
        """
        return self._try(self._transport.status)

    def metadata(self) -> dict[str, Any]:
        """Returns the model's signatures.

        The result is a dict with "model", "version" and "signatures". The signatures map each name
        to its "inputs" and "outputs", and these map tensor names to "dtype" and "shape" (-1 is any
        size).
        """
        found = self._try(self._transport.metadata)
        with self._lock:
            self._metadata = found
        return found

    def card(self) -> dict[str, Any] | None:
        """Returns the content of the model card, or None where the endpoint does not tell it.

        The local endpoint tells it by REST; TensorFlow Serving does not, and gRPC has no call for
        it.
        """
        try:
            return self._transport.card(self._timeout)
        except EndpointError:  # whatever it was: nothing depends on a card
            return None

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _signature(self, name: str) -> dict[str, Any]:
        with self._lock:
            metadata = self._metadata
        signatures = (metadata or self.metadata())["signatures"]
        if name not in signatures:
            raise EndpointError(
                "FAILED_PRECONDITION",
                f"The model has no signature {name!r}; it has {sorted(signatures)}.",
            )
        return signatures[name]

    def _only(self, signature: str, side: str) -> str:
        names = list(self._signature(signature)[side])
        if len(names) != 1:
            raise EndpointError(
                "FAILED_PRECONDITION",
                f"The signature {signature!r} has the {side} {names}; expected a single one.",
            )
        return names[0]

    def _predict_pixels(
        self, signature: str, image: Image, output: str | None = None
    ) -> np.ndarray:
        name = self._only(signature, "inputs")
        info = self._signature(signature)["inputs"][name]
        channels = info["shape"][-1] if info["shape"] else -1
        pixels = model_pixels(image, info["dtype"], channels)
        return self.run(signature, {name: pixels[np.newaxis]}, output)[0]

    def run(
        self, signature: str, inputs: dict[str, np.ndarray], output: str | None = None
    ) -> np.ndarray:
        """One output of a signature as it stands, for tensors made elsewhere.

        Args:
            signature: its name; see `metadata`.
            inputs: the tensors by name; strings are arrays of `bytes`.
            output: name of the output; by default the only one that the signature has.

        Raises:
            ValueError: an input has no rows, to which TensorFlow Serving gives no answer under
                batching before the deadline.
            EndpointError: as `predict`.
        """
        for name, array in inputs.items():
            if not len(array):
                raise InputError(f"{name} has no rows; expected at least one")
        name = output or self._only(signature, "outputs")
        dtype = self._signature(signature)["outputs"][name]["dtype"]
        return self._try(
            lambda timeout: self._transport.predict(signature, inputs, name, dtype, timeout)
        )

    def _compare(self, image: Image, mask: np.ndarray, *, instances: bool) -> None:
        """Tell what no longer is as in training."""
        if self._drift is None:
            return
        ids = mask if mask.ndim == 2 else None
        for found in self._drift.see(stored_pixels(image), ids, instances=instances):
            warnings.warn(f"drift: {found}", DriftWarning, stacklevel=3)

    def _try(self, call: Callable[[float], T]) -> T:
        deadline = time.monotonic() + self._timeout
        for attempt in range(self._retries + 1):
            try:
                return call(deadline - time.monotonic())
            except EndpointError as error:
                # gRPC also answers RESOURCE_EXHAUSTED to a message that is too large for it. This
                # does not change by repeating it.
                wait = random.uniform(0.5, 1.0) * min(self._max_backoff, self._backoff * 2**attempt)
                if (
                    error.code not in _AGAIN
                    or "larger than max" in error.message
                    or attempt == self._retries
                    or time.monotonic() + wait >= deadline
                ):
                    raise
                time.sleep(wait)
        raise AssertionError


def _geometry(signature: dict[str, Any], halo: int | None, stride: int) -> TileGeometry:
    from keras_unet3p.geometry import TileGeometry

    (taken,) = signature["inputs"].values()
    (given,) = signature["outputs"].values()
    tile = (taken["shape"][1], taken["shape"][2])
    margins = {(side - kept) // 2 for side, kept in zip(tile, given["shape"][1:3], strict=True)}
    if min(tile) < 1 or min(given["shape"][1:3]) < 1 or len(margins) > 1:
        raise InputError(
            "geometry: the signature 'tile' has no fixed size "
            f"({taken['shape']} -> {given['shape']}); give the geometry."
        )
    margin = margins.pop()
    wanted = (margin or min(tile) // 8) if halo is None else halo
    return TileGeometry.fit(tile, wanted, margin=margin, stride=stride)


def _check_percentiles(name: str, percentiles: tuple[float, float] | None) -> None:
    if name == _STRETCHED_TILE and percentiles is None:
        raise InputError(
            "percentiles: this model has each whole image stretched before it is cut into tiles; "
            "expected the percentiles that its model card has under 'normalization'"
        )
    if name != _STRETCHED_TILE and percentiles is not None:
        raise InputError("percentiles: this model does not have images stretched; leave them out")


def _gives_one_map_per_class(signatures: dict[str, Any]) -> bool:
    """Whether the channels may overlap: "classes" gives (B, H, W, K), or instances are told apart.

    The two maps of which instances are made overlap, though "classes" gives (B, H, W) there.
    """
    outputs = signatures.get("classes", {}).get("outputs", {})
    if len(outputs.get("class_ids", {}).get("shape", ())) == 4:
        return True
    maps = signatures.get("probabilities", {}).get("outputs", {}).get("probabilities", {})
    return "instances" in signatures and maps.get("shape", [1])[-1] > 1


def _one(encoded: bytes) -> np.ndarray:
    """A batch of one image file, as an array of bytes."""
    array = np.empty(1, object)
    array[0] = encoded
    return array
