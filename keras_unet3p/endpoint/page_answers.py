"""What the page at "/" asks for beside TensorFlow Serving's API."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from keras_unet3p.artifacts import CardNormalization
from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.endpoint.predict_service import PredictService
from keras_unet3p.endpoint.queued_call import queued_call
from keras_unet3p.endpoint.request_body import RequestBody
from keras_unet3p.endpoint.sendable_image import sendable_image
from keras_unet3p.endpoint.served_version import ServedVersion
from keras_unet3p.errors import InputError


def page_models(service: PredictService) -> dict[str, Any]:
    """Returns the models, their loaded versions, the newest first, and the limits of requests."""
    models = []
    for name in service.repository.names:
        versions = []
        labels = service.repository.labels(name)
        for number, state, _, _ in service.repository.status(name):
            # A version may be unloaded just now.
            with contextlib.suppress(EndpointError):
                if state == "AVAILABLE":
                    with service.repository.using(name, number) as served:
                        named = [label for label, of in labels.items() if of == number]
                        versions.append(_version(served) | {"labels": sorted(named)})
        models.append({"name": name, "versions": versions})
    limits = {
        "request_bytes": service.max_request_bytes,
        "json_values": service.max_json_values,
    }
    return {"models": models, "limits": limits}


def _version(served: ServedVersion) -> dict[str, Any]:
    card = served.card
    classes = served.signatures.get("classes")
    ids = [] if classes is None else _shape(classes.outputs.get("class_ids"))
    pixels = None if classes is None else next(iter(classes.inputs.values()), None)
    probabilities = served.signatures.get("probabilities")
    maps = [] if probabilities is None else _shape(next(iter(probabilities.outputs.values())))
    return {
        # A version number may be larger than JavaScript's integers.
        "version": str(served.version),
        "signatures": sorted(served.signatures),
        "classes": None if card is None else card.classes,
        "num_classes": maps[-1] if maps else None,
        "channels": _shape(pixels)[-1] if pixels is not None else None,
        "pixel_type": None if pixels is None else tf.dtypes.as_dtype(pixels.dtype).name,
        "overlapping": len(ids) == 4,
    }


def _shape(info: Any) -> list[int]:
    if info is None or info.tensor_shape.unknown_rank:
        return []
    return [dimension.size for dimension in info.tensor_shape.dim]


def model_card(service: PredictService, query: Mapping[str, str]) -> dict[str, Any]:
    """Returns the model card of a version: the query has `model`, and `version` or `label`.

    Raises:
        EndpointError: NOT_FOUND if it has none, and as predictions.
    """
    version = _numbers(query, "version")["version"]
    with service.repository.using(query.get("model", ""), version, query.get("label")) as served:
        if served.card is None:
            raise EndpointError("NOT_FOUND", "This version was exported without a model card.")
        return served.card.to_dict()


async def page_image(service: PredictService, body: RequestBody, request: Request) -> Response:
    """Answers with an image of a TIFF or NPY file as a model takes it.

    The body is the file. The query has the model (`model`, and `version` or `label`), the file's
    `name`, and `page`, from 0 on. The answer is a PNG, or the pixels' bytes; its headers are
    Image-Pages, Image-Stored (the type of the values in the file), and of pixels Image-Shape
    (height, width, channels) and Image-Type.

    Raises:
        EndpointError: INVALID_ARGUMENT if the file cannot be read, and as predictions.
    """
    query = request.query_params
    deadline = service.deadline()
    data = await body.read(min(deadline, time.monotonic() + service.receive_timeout))
    numbers = _numbers(query, "page", "version")
    page, name = numbers["page"] or 0, query.get("name", "image")

    def call():
        with service.repository.using(
            query.get("model", ""), numbers["version"], query.get("label")
        ) as served:
            rule = CardNormalization(value_scale="dtype")
            if served.card is not None:
                rule = served.card.normalization
            limit = served.max_pixels
        try:
            return sendable_image(data, name, page, rule, limit)
        except InputError as error:
            raise EndpointError("INVALID_ARGUMENT", str(error)) from None

    image = await queued_call(service, request, call, deadline, body.release)
    if isinstance(image, EndpointError):
        return JSONResponse({"error": image.message}, image.http_status)
    headers = {"Image-Pages": str(image.pages), "Image-Stored": image.stored}
    if image.png is not None:
        return Response(image.png, media_type="image/png", headers=headers)
    headers["Image-Shape"] = ",".join(map(str, image.pixels.shape))
    headers["Image-Type"] = image.pixels.dtype.name
    pixels = image.pixels.astype(image.pixels.dtype.newbyteorder("<"), copy=False)
    return Response(pixels.tobytes(), media_type="application/octet-stream", headers=headers)


def _numbers(query: Mapping[str, str], *names: str) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for name in names:
        text = query.get(name)
        if text is not None and not (text.isascii() and text.isdigit() and len(text) < 20):
            raise EndpointError("INVALID_ARGUMENT", f"{name} must be a whole number.")
        found[name] = None if text is None else int(text)
    return found
