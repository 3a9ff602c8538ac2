"""A client of an endpoint that serves an exported model; imports no TensorFlow."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import cv2
import numpy as np

from keras_unet3p.endpoint.endpoint_error import EndpointError
from keras_unet3p.endpoint.extra import serving_extra
from keras_unet3p.errors import InputError

if TYPE_CHECKING:
    from keras_unet3p.tiling import TileGeometry

T = TypeVar("T")
Image = bytes | str | Path | np.ndarray

_AGAIN = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# What the served graph decodes by itself in all its variants.
_ENCODED = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


class Client:
    """Segments images by an endpoint: TensorFlow Serving, or the local one.

    May be used from several threads; a context manager that closes its connections.

    Requests that find the endpoint busy or away (RESOURCE_EXHAUSTED or 429, UNAVAILABLE or 503,
    a connection that breaks) are repeated after growing, randomised waits, until `timeout`.

    Args:
        url: "http://host:port" or "https://host:port" for REST, "grpc://host:port" or
            "grpcs://host:port" for gRPC. gRPC is the faster one for arrays.
        model: the model's name; by default the only one that a local endpoint serves over REST,
            otherwise "model", the default name of TensorFlow Serving's image.
        version: a version's number; by default the newest.
        label: a version's label, such as "stable" or "canary".
        timeout: seconds that a call may take with all its repetitions.
        retries: how often a request is repeated at most.
        backoff: seconds before the first repetition; doubled for each further one.
        max_backoff: longest wait between two tries, in seconds.
        max_message_bytes: largest answer over gRPC.

    Raises:
        ValueError: for an unknown kind of URL, or a version together with a label.
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
    ):
        if version is not None and label is not None:
            raise InputError("version and label: give one of them, not both.")
        scheme = urlsplit(url).scheme
        if scheme not in ("http", "https", "grpc", "grpcs") or not urlsplit(url).netloc:
            raise InputError(
                f"url: expected http(s)://host:port or grpc(s)://host:port, found {url!r}."
            )
        if scheme.startswith("http"):
            with serving_extra("Client"):
                from keras_unet3p.endpoint.rest_transport import RestTransport
            self._transport = RestTransport(url, model, version, label)
        else:
            with serving_extra("Client"):
                from keras_unet3p.endpoint.grpc_transport import GrpcTransport
            self._transport = GrpcTransport(url, model, version, label, max_message_bytes)
        self.url = url
        self._choice = (version, label)
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
            image: an encoded image as bytes (PNG and JPEG travel as they are; BMP, TIFF and what
                else OpenCV reads, as PNG); a path to such a file or to an NPY file; or an array
                (H, W) or (H, W, C) in RGB order, of integers over their type's whole range,
                booleans, or floats in [0, 1].
            signature: "serving_default" (the image travels as PNG, losslessly up to 16 bit) or
                "classes" (as numbers, where PNG cannot hold the image: signed integers, 2 channels
                or more than 4); by default the one that fits.

        Returns:
            Class ids, uint8 (H, W); 0 and 1 for a model with one class. Of a model whose classes
            may overlap, "classes" gives a map a class, (H, W, K), and "serving_default" the set of
            a pixel's classes, the sum of 2**k, uint8 or uint16 (H, W).

        Raises:
            ValueError: when `image` is of no accepted kind.
            EndpointError: what the endpoint answered; DEADLINE_EXCEEDED or UNAVAILABLE when it
                did not.
        """
        if signature not in (None, "serving_default", "classes"):
            raise InputError(
                f"signature: expected 'serving_default' or 'classes', found {signature!r}."
            )
        if signature is None:
            image = _opened(image)
            signature = "serving_default" if _fits_png(image) else "classes"
        if signature == "serving_default":
            return _decode_mask(self.predict_bytes(_encoded(image)))
        return self._predict_pixels(signature, image).astype(np.uint8, copy=False)

    def predict_bytes(self, image: bytes) -> bytes:
        """Segments an encoded image; returns the class ids as PNG bytes.

        Args:
            image: PNG, JPEG or BMP bytes.

        Raises:
            EndpointError: as `predict`.
        """
        array = np.empty(1, object)
        array[0] = bytes(image)
        return self._run("serving_default", {"image_bytes": array})[0]

    def probabilities(self, image: Image) -> np.ndarray:
        """Segments one image; returns float32 (H, W, K) probabilities.

        Args:
            image: as for `predict`. As many numbers travel back as the image has pixels times
                classes, so this is for images that are not huge.

        Raises:
            ValueError: when `image` is of no accepted kind or its channels do not fit the model.
            EndpointError: as `predict`.
        """
        return self._predict_pixels("probabilities", image)

    def predict_tiles(self, tiles: np.ndarray) -> np.ndarray:
        """Runs the bare network on tiles of its own size.

        Args:
            tiles: float32 (B, T, T, C), values in [0, 1].

        Returns:
            float32 (B, T', T', K) probabilities; T' is less than T for unpadded networks.

        Raises:
            EndpointError: as `predict`.
        """
        return self._run("tile", {self._only("tile", "inputs"): np.asarray(tiles, np.float32)})

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
        concurrency: int = 8,
        tiles_per_request: int = 1,
        journal: str | os.PathLike | None = None,
        progress: bool | Callable[[int, int], None] = False,
    ) -> Any:
        """Segments an image larger than a request, or than memory, tile by tile.

        Only the tiles under way are held. All of them go to the version that serves when this
        begins, also when a newer one appears meanwhile. `timeout` and `retries` of the client hold
        for each request.

        Args:
            image: (H, W) or (H, W, C), anything that can be sliced: an array, a memory map, a Zarr
                array; floats in [0, 1], or integers of 8 or 16 bits, which are divided by their
                type's largest value. Or the path of a .npy file.
            output: where the result goes: None makes an array; the path of a .npy file, which
                appears when it is complete; or anything that windows can be assigned to.
            geometry: how the image is cut. The model card of the exported model has it:
                `TileGeometry.from_dict(card["geometry"])`. By default it is made of the signature's
                tile and the next two arguments.
            halo: pixels of context around a tile that are not kept; by default an eighth of the
                tile, and for an unpadded network what it takes off.
            stride: a multiple of the network's largest pooling step.
            kind: "classes" gives (H, W), uint8 up to 256 classes and uint16 beyond, or uint8
                (H, W, K) where classes may overlap; "probabilities" float32 (H, W, K).
            threshold: with one class, a pixel is of class 1 from this probability on. The exported
                model's own is in its model card, not in what an endpoint tells.
            concurrency: requests that are under way at the same time.
            tiles_per_request: tiles in a request; more than one where the server batches.
            journal: file that remembers what is finished: the same call goes on where a stopped
                one was. For a path as output it is there by itself.
            progress: True shows a progress bar; or a function of tiles done and in all.

        Returns:
            The output; for a path, a read-only memory map of it.

        Raises:
            ValueError: when image, output, geometry or journal does not fit, or another process
                writes to output or journal.
            OSError: when the disk is full.
            EndpointError: as `predict`; what is finished stays in `output` and `journal`.
        """
        from keras_unet3p.endpoint.large_image import predict_large

        metadata = self.metadata()
        client = self
        if self._choice == (None, None):
            client = self._pinned(metadata["model"], metadata["version"])
        try:
            if geometry is None:
                geometry = _geometry(client._signature("tile"), halo, stride)
            return predict_large(
                client.predict_tiles,
                f"{metadata['model']} version {metadata['version']}",
                image,
                output,
                geometry=geometry,
                kind=kind,
                threshold=threshold,
                multi_label=_gives_a_map_a_class(metadata["signatures"]),
                concurrency=concurrency,
                tiles_per_request=tiles_per_request,
                journal=journal,
                progress=progress,
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
        )

    def status(self) -> list[dict[str, Any]]:
        """Returns the model's versions, newest first.

        Each is a dict with "version" (int), "state" ("AVAILABLE", "LOADING", ...), "error_code"
        and "error_message".
        """
        return self._try(self._transport.status)

    def metadata(self) -> dict[str, Any]:
        """Returns the model's signatures.

        A dict with "model", "version" and "signatures": name -> "inputs" and "outputs" -> tensor
        name -> "dtype" and "shape" (-1 for any size).
        """
        found = self._try(self._transport.metadata)
        with self._lock:
            self._metadata = found
        return found

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

    def _predict_pixels(self, signature: str, image: Image) -> np.ndarray:
        name = self._only(signature, "inputs")
        info = self._signature(signature)["inputs"][name]
        channels = info["shape"][-1] if info["shape"] else -1
        pixels = _pixels(image, info["dtype"], channels)
        return self._run(signature, {name: pixels[np.newaxis]})[0]

    def _run(self, signature: str, inputs: dict[str, np.ndarray]) -> np.ndarray:
        name = self._only(signature, "outputs")
        dtype = self._signature(signature)["outputs"][name]["dtype"]
        outputs = self._try(lambda timeout: self._transport.predict(signature, inputs, timeout))
        return self._transport.decode(outputs, name, dtype, only=True)

    def _try(self, call: Callable[[float], T]) -> T:
        deadline = time.monotonic() + self._timeout
        for attempt in range(self._retries + 1):
            try:
                return call(deadline - time.monotonic())
            except EndpointError as error:
                # A message too large for gRPC is RESOURCE_EXHAUSTED as well, and stays too large.
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
    from keras_unet3p.tiling.geometry import TileGeometry

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


def _gives_a_map_a_class(signatures: dict[str, Any]) -> bool:
    """Whether the model's classes may overlap: "classes" gives (B, H, W, K), not (B, H, W)."""
    outputs = signatures.get("classes", {}).get("outputs", {})
    return len(outputs.get("class_ids", {}).get("shape", ())) == 4


def _decode_mask(png: bytes) -> np.ndarray:
    mask = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if mask is None or mask.ndim != 2:
        raise EndpointError("UNKNOWN", "The answer is not a PNG of class ids.")
    return mask


def _opened(image: Image) -> bytes | np.ndarray:
    """Gives encoded bytes that travel as they are, and the array of anything else."""
    name = "image"
    if isinstance(image, (str, Path)):
        name, path = str(image), Path(image)
        if path.suffix.lower() == ".npy":
            return np.load(path, allow_pickle=False)
        image = path.read_bytes()
    if not isinstance(image, (bytes, bytearray, memoryview)):
        return image
    data = bytes(image)
    return data if data.startswith(_ENCODED) else _decode_array(data, name)


def _fits_png(image: bytes | np.ndarray) -> bool:
    if isinstance(image, bytes):
        return True
    pixels = _check(image)
    fits = pixels.dtype.kind in "bf" or pixels.dtype in (np.uint8, np.uint16)
    return fits and pixels.shape[2] in (1, 3, 4)


def _encoded(image: Image) -> bytes:
    image = _opened(image)
    if isinstance(image, bytes):
        return image
    pixels = _check(image)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    elif pixels.dtype.kind == "f":
        pixels = _to_integers(pixels, np.uint16)
    elif pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"image: PNG holds uint8 and uint16, found {pixels.dtype}.")
    if pixels.shape[2] in (3, 4):
        pixels = cv2.cvtColor(
            pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        )
    elif pixels.shape[2] != 1:
        raise InputError(f"image: PNG holds 1, 3 or 4 channels, found shape {pixels.shape}.")
    # Level 1: on the way to a server, time matters more than the last bytes.
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _decode_array(data: bytes, name: str) -> np.ndarray:
    encoded = np.frombuffer(data, np.uint8)
    try:
        if data.startswith(_TIFF):
            _, pages = cv2.imdecodemulti(encoded, cv2.IMREAD_UNCHANGED)
            if len(pages) > 1:
                raise InputError(f"{name} holds {len(pages)} images; give them one by one.")
            pixels = pages[0] if pages else None
        else:
            pixels = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    except cv2.error:  # nothing at all, or more pixels than OpenCV takes
        pixels = None
    if pixels is None:
        raise InputError(f"{name} is not an image that can be read: PNG, JPEG, BMP, TIFF, NPY.")
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        pixels = cv2.cvtColor(
            pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        )
    return pixels


def _check(image: np.ndarray) -> np.ndarray:
    if not isinstance(image, np.ndarray):
        raise InputError(f"image: expected bytes, a path or an array, found {type(image)}.")
    pixels = image[..., np.newaxis] if image.ndim == 2 else image
    if pixels.ndim != 3 or not pixels.size or pixels.dtype.kind not in "bufi":
        raise InputError(
            f"image: expected numbers of shape (H, W) or (H, W, C), found {image.dtype} of shape "
            f"{image.shape}."
        )
    return pixels


def _to_integers(pixels: np.ndarray, dtype: type) -> np.ndarray:
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0.0 and high <= 1.0):
        raise InputError(f"image: floats must lie in [0, 1], found {low:g} to {high:g}.")
    return np.round(pixels * np.iinfo(dtype).max).astype(dtype)


def _pixels(image: Image, dtype: str, channels: int) -> np.ndarray:
    """Brings an image to the model's type and channels."""
    name = str(image) if isinstance(image, (str, Path)) else "image"
    image = _opened(image)
    pixels = _check(_decode_array(image, name) if isinstance(image, bytes) else image)
    if dtype not in ("uint8", "float32"):
        raise EndpointError("UNIMPLEMENTED", f"The model takes {dtype}; expected uint8 or float32.")
    if pixels.dtype != dtype:
        if pixels.dtype.kind in "iu" and pixels.dtype.itemsize > 2:
            raise InputError(
                f"image: integers must have 8 or 16 bits to be divided by their type's largest "
                f"value, found {pixels.dtype}."
            )
        if pixels.dtype.kind in "fb":
            unit = pixels.astype(np.float32)
        else:
            unit = pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
        pixels = unit if dtype == "float32" else _to_integers(unit, np.uint8)
    found = pixels.shape[2]
    if channels in (-1, found):
        return pixels
    if found == 4 and channels == 3:
        return pixels[..., :3]
    if found == 1 and channels == 3:
        return np.repeat(pixels, 3, axis=2)
    if found in (3, 4) and channels == 1:
        return cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2GRAY)[..., None]
    raise InputError(f"image: the model takes {channels} channels, found shape {pixels.shape}.")
