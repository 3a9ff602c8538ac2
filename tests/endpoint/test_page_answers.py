"""What the page asks its server for: the models, and files that a browser does not read."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
import pytest
import requests
import tifffile
from PIL import Image

from keras_unet3p.artifacts import CardNormalization
from keras_unet3p.endpoint.sendable_image import sendable_image
from keras_unet3p.errors import InputError

DTYPE = CardNormalization(value_scale="dtype", input_dtype="uint8")
RAW = CardNormalization(value_scale="raw", input_dtype="float32")


def pixels(dtype, *shape):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def with_pillow(image, compression):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "tiff", compression=compression)
    return stream.getvalue()


def with_opencv(image, compression):
    code = {"lzw": cv2.IMWRITE_TIFF_COMPRESSION_LZW, "packbits": 32773}[compression]
    stored = image[..., ::-1] if image.ndim == 3 else image
    ok, data = cv2.imencode(".tif", stored, [cv2.IMWRITE_TIFF_COMPRESSION, code])
    assert ok
    return data.tobytes()


def with_tifffile(image, **options):
    stream = io.BytesIO()
    photometric = "rgb" if image.shape[-1] == 3 else "minisblack"
    tifffile.imwrite(stream, image, photometric=photometric, **options)
    return stream.getvalue()


def decoded(png):
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    return image[..., ::-1] if image.ndim == 3 else image


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(21, 34), (21, 34, 3)], ids=["grey", "colour"])
@pytest.mark.parametrize(
    "compression", ["none", "deflate", "predictor", "lzw", "packbits", "tiles"]
)
def test_tiff_of_every_kind_keeps_its_values(dtype, shape, compression):
    image = pixels(dtype, *shape)
    if compression in ("lzw", "packbits"):
        data = with_opencv(image, compression)
        assert tifffile.TiffFile(io.BytesIO(data)).pages[0].compression != 1
    else:
        options = {
            "none": {},
            "deflate": {"compression": "zlib"},
            "predictor": {"compression": "zlib", "predictor": True},
            "tiles": {"tile": (16, 16)},
        }[compression]
        try:
            data = with_tifffile(image, **options)
        except (ImportError, ValueError) as error:
            pytest.skip(f"tifffile writes none here: {error}")
    found = sendable_image(data, "a.tif", 0, DTYPE, 10**6)
    assert (found.pixels, found.pages, found.stored) == (None, 1, np.dtype(dtype).name)
    png = decoded(found.png)
    assert png.dtype == dtype
    np.testing.assert_array_equal(png, image)


def test_bits_of_fax_files_are_black_and_white():
    image = np.arange(48).reshape(6, 8) % 3 == 0
    data = with_pillow(image, "packbits")
    png = decoded(sendable_image(data, "a.tif", 0, DTYPE, 10**6).png)
    np.testing.assert_array_equal(png, image * np.uint8(255))


def test_each_page_of_a_stack():
    stack = pixels(np.uint16, 4, 9, 12)
    data = with_tifffile(stack)
    for page in range(4):
        found = sendable_image(data, "a.tif", page, DTYPE, 10**6)
        assert found.pages == 4
        np.testing.assert_array_equal(decoded(found.png), stack[page])
    with pytest.raises(InputError, match=r"^a\.tif: holds 4 images, no image 5$"):
        sendable_image(data, "a.tif", 4, DTYPE, 10**6)


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_floats_are_sent_by_the_rule_of_the_model_card():
    values = np.linspace(0, 1, 60, dtype=np.float32).reshape(6, 10)
    found = sendable_image(npy(values), "a.npy", 0, DTYPE, 10**6)
    np.testing.assert_array_equal(decoded(found.png), np.rint(values * 65535).astype(np.uint16))
    rule = CardNormalization(value_scale="255", input_dtype="uint8")
    found = sendable_image(npy(values * 255), "a.npy", 0, rule, 10**6)
    np.testing.assert_allclose(decoded(found.png) / 65535, values, atol=1e-5)
    with pytest.raises(InputError, match=r"^a\.npy: .*within \[0, 1\]"):
        sendable_image(npy(values * 255), "a.npy", 0, DTYPE, 10**6)


def test_stored_values_travel_as_numbers_where_a_png_cannot_hold_them():
    values = np.linspace(-3, 900, 60, dtype=np.float32).reshape(6, 10)
    found = sendable_image(npy(values), "a.npy", 0, RAW, 10**6)
    assert found.png is None
    assert found.pixels.dtype == np.float32
    np.testing.assert_array_equal(found.pixels[..., 0], values)
    # A model for stored values takes those of integers from a PNG.
    image = pixels(np.uint16, 6, 10)
    np.testing.assert_array_equal(
        decoded(sendable_image(npy(image), "a.npy", 0, RAW, 10**6).png), image
    )


def test_channels_that_no_png_holds():
    image = pixels(np.uint8, 6, 10, 5)
    np.testing.assert_array_equal(
        sendable_image(npy(image), "a.npy", 0, DTYPE, 10**6).pixels, image
    )
    with pytest.raises(InputError, match=r"^a\.npy: 5 channels of uint16; the model takes .*uint8"):
        sendable_image(npy(image.astype(np.uint16)), "a.npy", 0, DTYPE, 10**6)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"text", "not a TIFF or NPY"),
        (with_tifffile(np.zeros((40, 40), np.uint8))[:900], "truncated"),
        (with_tifffile(np.zeros((1001, 1000), np.uint8)), "1001 x 1000"),
    ],
    ids=["text", "truncated", "large"],
)
def test_what_cannot_be_read_is_refused_by_name(server, data, message):
    query = {"model": server.names[0], "name": "my file.tif"}
    limit = server._service.repository._models[server.names[0]]._loaded
    version = next(iter(limit.values()))
    former, version.max_pixels = version.max_pixels, 10**6
    try:
        answer = requests.post(server.url + "/page/image", data=data, params=query, timeout=10)
    finally:
        version.max_pixels = former
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("my file.tif: ")
    assert message in answer.json()["error"]
    assert "/tmp" not in answer.json()["error"]


def test_the_answer_for_a_tiff(server):
    image = pixels(np.uint16, 7, 9)
    query = {"model": server.names[0], "name": "a.tif", "page": 0}
    address = server.url + "/page/image"
    answer = requests.post(address, data=with_tifffile(image), params=query, timeout=10)
    assert answer.headers["content-type"] == "image/png"
    assert (answer.headers["image-pages"], answer.headers["image-stored"]) == ("1", "uint16")
    np.testing.assert_array_equal(decoded(answer.content), image)
    for wrong in ({"model": "none"}, {"page": "-1"}, {"version": "99"}, {"label": "none"}):
        answer = requests.post(
            address, data=with_tifffile(image), params={**query, **wrong}, timeout=10
        )
        assert answer.status_code in (400, 404)
        assert answer.json()["error"]
    assert server._service.held.used == 0
    assert requests.get(address, timeout=10).status_code == 404


def test_a_file_is_refused_that_is_larger_than_a_body_may_be(server):
    former, server._service.max_request_bytes = server._service.max_request_bytes, 1000
    try:
        answer = requests.post(
            server.url + "/page/image", data=with_tifffile(pixels(np.uint8, 90, 90)), timeout=10
        )
        assert answer.status_code == 413
    finally:
        server._service.max_request_bytes = former


def test_the_models_and_their_versions(server):
    answer = requests.get(server.url + "/page/models", timeout=10).json()
    (model,) = answer["models"]
    assert model["name"] == server.names[0]
    (version,) = model["versions"]
    assert version["version"] == "1"
    assert version["labels"] == []
    assert "serving_default" in version["signatures"]
    assert (version["num_classes"], version["channels"]) == (1, 1)
    assert version["pixel_type"] == "uint8"
    assert version["classes"] is None
    assert not version["overlapping"]
    assert answer["limits"]["request_bytes"] == server._service.max_request_bytes


def test_without_a_model_card_there_is_none(server):
    name = server.names[0]
    url = f"{server.url}/page/card"
    answer = requests.get(url, params={"model": name, "version": 1}, timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (
        404,
        "This version was exported without a model card.",
    )
    assert requests.get(url, params={"model": "other"}, timeout=10).status_code == 404
    wrong = requests.get(url, params={"model": name, "version": "x"}, timeout=10)
    assert wrong.status_code == 400


def test_an_answer_tells_its_version(server):
    url = f"{server.url}/v1/models/{server.names[0]}:predict"
    png = cv2.imencode(".png", np.zeros((4, 5), np.uint8))[1].tobytes()
    body = {"instances": [{"b64": base64.b64encode(png).decode()}]}
    assert requests.post(url, json=body, timeout=10).headers["model-version"] == "1"
