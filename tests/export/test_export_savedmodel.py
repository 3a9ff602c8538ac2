from __future__ import annotations

import hashlib
import json

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from keras_unet3p import data
from keras_unet3p.export import export_savedmodel
from keras_unet3p.models import unet
from keras_unet3p.tiling import TileGeometry, predict_image
from tests.export.session import SessionModel
from tests.tiling.networks import small_network

TILE, HALO = 64, 16


@pytest.fixture(scope="module")
def colour_model():
    return small_network("same", 3, 4, depth=2)


@pytest.fixture(scope="module")
def exported(colour_model, tmp_path_factory):
    return export_savedmodel(
        colour_model,
        tmp_path_factory.mktemp("models") / "cells",
        tile_size=TILE,
        halo=HALO,
        classes=["background", "a", "b", "c"],
        training_figures={"dice": 0.9},
    )


@pytest.fixture(scope="module")
def served(exported):
    with SessionModel(exported) as model:
        yield model


def picture(height, width, channels=3, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    small = rng.random((max(height // 4, 1), max(width // 4, 1), channels))
    image = cv2.resize(small, (width, height)).reshape(height, width, channels)
    return (image * np.iinfo(dtype).max).round().astype(dtype)


def encode(image, extension=".png"):
    """`image` in RGB(A) order."""
    if image.shape[-1] >= 3:
        image = np.concatenate([image[..., 2::-1], image[..., 3:]], axis=-1)
    return cv2.imencode(extension, image)[1].tobytes()


def decode(data):
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask.dtype == np.uint8
    assert mask.ndim == 2
    return mask


def expected_ids(model, image):
    return predict_image(model, image, tile_size=TILE, halo=HALO).argmax(-1)


def test_the_four_signatures_have_the_promised_names_types_and_shapes(exported):
    with SessionModel(exported) as model:
        found = {
            name: {
                key: (
                    tf.as_dtype(info.dtype).name,
                    [d.size for d in info.tensor_shape.dim],
                )
                for key, info in [*sig.inputs.items(), *sig.outputs.items()]
            }
            for name, sig in model.signatures.items()
        }
    assert found == {
        "serving_default": {"image_bytes": ("string", [-1]), "mask_bytes": ("string", [-1])},
        "classes": {
            "image": ("uint8", [-1, -1, -1, 3]),
            "class_ids": ("uint8", [-1, -1, -1]),
        },
        "probabilities": {
            "image": ("uint8", [-1, -1, -1, 3]),
            "probabilities": ("float32", [-1, -1, -1, 4]),
        },
        "tile": {
            "tile": ("float32", [-1, 64, 64, 3]),
            "probabilities": ("float32", [-1, 64, 64, 4]),
        },
    }


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (64, 64), (101, 77)])
def test_every_signature_agrees_with_the_model(colour_model, served, size):
    image = picture(*size)
    reference = predict_image(colour_model, image, tile_size=TILE, halo=HALO)
    probabilities = served("probabilities", image=image[None])["probabilities"]
    np.testing.assert_allclose(probabilities[0], reference, atol=2e-6)
    ids = served("classes", image=image[None])["class_ids"]
    np.testing.assert_array_equal(ids[0], reference.argmax(-1))
    masks = served("serving_default", image_bytes=[encode(image)])["mask_bytes"]
    np.testing.assert_array_equal(decode(masks[0]), reference.argmax(-1))


def test_images_of_different_sizes_share_a_request(colour_model, served):
    images = [picture(70, 30, seed=1), picture(5, 130, seed=2), picture(64, 64, seed=3)]
    masks = served("serving_default", image_bytes=[encode(i) for i in images])["mask_bytes"]
    for image, mask in zip(images, masks, strict=True):
        np.testing.assert_array_equal(decode(mask), expected_ids(colour_model, image))


def test_tile_signature_is_the_network_itself(colour_model, served):
    tiles = np.random.default_rng(0).random((3, 64, 64, 3), np.float32)
    np.testing.assert_allclose(
        served("tile", tile=tiles)["probabilities"],
        colour_model(tiles, training=False),
        atol=2e-6,
    )


def test_16_bit_grey_alpha_and_lossy_files_are_read(colour_model, served):
    deep = picture(40, 50, dtype=np.uint16)
    grey = picture(40, 50, 1)
    clear = np.concatenate([picture(40, 50), picture(40, 50, 1, seed=5)], axis=-1)
    jpeg = encode(picture(40, 50), ".jpg")
    palette = np.zeros((40, 50, 1), np.uint8)
    cases = [
        (encode(deep), deep),
        (encode(grey), np.repeat(grey, 3, axis=-1)),
        (encode(clear), clear[..., :3]),
        (encode(picture(40, 50), ".bmp"), picture(40, 50)),
        (encode(grey, ".bmp"), np.repeat(grey, 3, axis=-1)),
        (jpeg, tf.io.decode_jpeg(jpeg).numpy()),
        (encode(palette), np.repeat(palette, 3, axis=-1)),
    ]
    masks = served("serving_default", image_bytes=[data for data, _ in cases])["mask_bytes"]
    for (_, image), mask in zip(cases, masks, strict=True):
        different = decode(mask) != expected_ids(colour_model, image)
        assert different.mean() < 0.002  # ties of two classes may fall to either


PNG = encode(picture(30, 30))
BMP = encode(picture(30, 30, 1), ".bmp")
BAD = {
    "empty": b"",
    "text": b"not an image at all",
    "gif": b"GIF89a" + bytes(40),
    "png header only": PNG[:8],
    "truncated png": PNG[: len(PNG) // 2],
    "png of 4e9 pixels": PNG[:16] + b"\x00\x01\x00\x00\x00\x01\x00\x00" + PNG[24:],
    "png of negative size": PNG[:16] + b"\xff\xff\xff\xff\xff\xff\xff\xff" + PNG[24:],
    "jpeg header only": b"\xff\xd8\xff",
    "bmp header only": b"BM",
    "bmp with a palette of colours": BMP[:54] + bytes(reversed(BMP[54:1078])) + BMP[1078:],
    "bmp whose palette lies beyond its end": BMP[:14] + b"\xff\xff\xff\x7f" + BMP[18:],
}


@pytest.mark.parametrize("name", BAD)
def test_undecodable_bytes_are_an_invalid_argument_and_the_model_goes_on(served, name):
    with pytest.raises(tf.errors.InvalidArgumentError):
        served("serving_default", image_bytes=[BAD[name]])
    good = served("serving_default", image_bytes=[PNG])["mask_bytes"]
    assert decode(good[0]).shape == (30, 30)


def test_pixels_are_capped_before_decoding(tmp_path):
    model = small_network("same", 1, 1, depth=1, filters=2)
    folder = export_savedmodel(model, tmp_path / "m", tile_size=32, halo=8, max_pixels=1000)
    with SessionModel(folder) as served:
        assert served("serving_default", image_bytes=[encode(picture(20, 50, 1))])
        for extension in (".png", ".jpg", ".bmp"):
            data = encode(picture(20, 51, 1), extension)
            with pytest.raises(tf.errors.InvalidArgumentError, match="1000"):
                served("serving_default", image_bytes=[data])


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_one_class_gives_zero_and_one_by_the_threshold(tmp_path, padding):
    model = small_network(padding, 1, 1, depth=2)
    image = picture(90, 75, 1)
    reference = predict_image(model, image, tile_size=92)[..., 0]
    threshold = float(np.median(reference))
    folder = export_savedmodel(model, tmp_path / "m", tile_size=92, threshold=threshold)
    with SessionModel(folder) as served:
        mask = decode(served("serving_default", image_bytes=[encode(image)])["mask_bytes"][0])
        colour = encode(np.repeat(image, 3, axis=-1))
        from_colour = decode(served("serving_default", image_bytes=[colour])["mask_bytes"][0])
    np.testing.assert_array_equal(np.unique(mask), [0, 1])
    assert (mask != (reference >= threshold)).mean() < 0.002
    assert (mask != from_colour).mean() < 0.002


def test_raw_values_reach_the_model_as_they_are_in_the_file(tmp_path):
    model = small_network("same", 1, 2, depth=1)
    folder = export_savedmodel(
        model, tmp_path / "m", tile_size=32, halo=8, value_scale="raw", pixels="float32"
    )
    with SessionModel(folder) as served:
        for dtype in (np.uint8, np.uint16):
            image = picture(20, 30, 1, dtype)
            reference = predict_image(model, image.astype(np.float32), tile_size=32, halo=8)
            mask = served("serving_default", image_bytes=[encode(image)])["mask_bytes"][0]
            np.testing.assert_array_equal(decode(mask), reference.argmax(-1))
            found = served("probabilities", image=image[None].astype(np.float32))
            np.testing.assert_allclose(found["probabilities"][0], reference, atol=1e-4)


def test_a_model_of_logits_is_exported_as_probabilities(tmp_path):
    model = unet((None, None, 1), num_classes=3, filters=4, depth=2, classifier_activation=None)
    tiles = np.random.default_rng(0).random((1, 64, 64, 1), np.float32)
    folder = export_savedmodel(model, tmp_path / "m", tile_size=64)
    with SessionModel(folder) as served:
        found = served("tile", tile=tiles)["probabilities"]
    np.testing.assert_allclose(found, tf.nn.softmax(model(tiles)), atol=1e-5)


def test_loads_with_tf_saved_model_load(colour_model, exported):
    image = picture(40, 80)
    signatures = tf.saved_model.load(str(exported)).signatures
    ids = signatures["classes"](image=tf.constant(image[None]))["class_ids"]
    np.testing.assert_array_equal(ids[0], expected_ids(colour_model, image))
    masks = signatures["serving_default"](image_bytes=tf.constant([encode(image)]))
    np.testing.assert_array_equal(
        decode(masks["mask_bytes"].numpy()[0]), expected_ids(colour_model, image)
    )


def test_weights_are_stored_once(tmp_path):
    model = small_network("same", 1, 1, depth=2, filters=32)
    folder = export_savedmodel(model, tmp_path / "m", tile_size=64, halo=16)
    weights = sum(int(np.prod(w.shape)) * 4 for w in model.weights)
    stored = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    assert weights > 1_500_000
    assert stored < 1.25 * weights


def test_warmup_records_cover_every_signature_and_succeed(exported, served):
    logs = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    path = exported / "assets.extra" / "tf_serving_warmup_requests"
    asked = []
    for record in tf.compat.v1.io.tf_record_iterator(str(path)):
        log = logs.PredictionLog.FromString(record)
        request = log.predict_log.request
        assert request.model_spec.name == "cells"
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        served(request.model_spec.signature_name, **inputs)
        asked.append(request.model_spec.signature_name)
    assert sorted(asked) == ["classes", "probabilities", "serving_default", "tile"]


def test_model_card_tells_what_was_exported(exported):
    card = json.loads((exported / "assets.extra" / "model_card.json").read_text())
    assert card["classes"] == ["background", "a", "b", "c"]
    assert card["input_channels"] == 3
    assert TileGeometry.from_dict(card["geometry"]).tile == (64, 64)
    assert card["training"] == {"dice": 0.9}
    assert card["versions"]["tensorflow"] == tf.__version__
    content = (exported / "saved_model.pb").read_bytes()
    assert card["sha256"]["saved_model.pb"] == hashlib.sha256(content).hexdigest()


def test_model_card_tells_the_normalisation_inside_the_network(tmp_path):
    stored = data.StoredValues("uint8", 3, (0.0, 2.0), (9.0, 11.0), (200.0, 250.0))
    normalization = data.Normalization((0.25,), (0.5,), stored_values=(stored,))
    model = unet((None, None, 1), filters=2, depth=1, normalization=normalization)
    folder = export_savedmodel(model, tmp_path / "m", tile_size=32)
    card = json.loads((folder / "assets.extra" / "model_card.json").read_text())
    assert card["normalization"] == {
        "value_scale": "unit",
        "pixels": "uint8",
        "mean": [0.25],
        "std": [0.5],
    }
    assert card["training"] == {"stored_values": [stored.to_dict()]}


def test_nothing_asks_for_xla(tmp_path):
    """The server runs without XLA on the CPU, where a function that must be compiled fails."""
    model = unet((None, None, 1), filters=2, depth=1, batch_norm=True)
    model.compile(loss="mse", jit_compile=True)
    folder = export_savedmodel(model, tmp_path / "m", tile_size=32)
    saved = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    assert graph.library.function
    asked = [
        function.signature.name
        for function in graph.library.function
        if function.attr["_XlaMustCompile"].b
        or any(node.attr["_XlaMustCompile"].b for node in function.node_def)
    ]
    assert asked == []
    assert not any(node.attr["_XlaMustCompile"].b for node in graph.node)


def test_a_model_of_mixed_precision_is_exported_as_it_computes(tmp_path):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = small_network("same", 1, 1, depth=1, seed=3)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    tiles = np.random.default_rng(0).random((1, 32, 32, 1), np.float32)
    folder = export_savedmodel(model, tmp_path / "m", tile_size=32, halo=8)
    with SessionModel(folder) as served:
        found = served("tile", tile=tiles)["probabilities"]
    assert found.dtype == np.float32
    expected = tf.cast(model(tiles, training=False), tf.float32)
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_a_model_built_under_a_strategy_is_exported(tmp_path):
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = small_network("same", 1, 1, depth=1)
    tiles = np.random.default_rng(0).random((1, 32, 32, 1), np.float32)
    folder = export_savedmodel(model, tmp_path / "m", tile_size=32, halo=8)
    with SessionModel(folder) as served:
        found = served("tile", tile=tiles)["probabilities"]
        nodes = served.executed_nodes("tile", tile=tiles)
    np.testing.assert_allclose(found, model(tiles, training=False), atol=1e-5)
    assert not any("BatchNorm" in node.op or node.op == "Rsqrt" for node in nodes)


def test_versions_count_up_and_are_not_overwritten(tmp_path):
    model = unet((None, None, 1), filters=2, depth=1)
    base = tmp_path / "m"
    assert export_savedmodel(model, base, tile_size=32).name == "1"
    assert export_savedmodel(model, base, tile_size=32, version=7).name == "7"
    assert export_savedmodel(model, base, tile_size=32).name == "8"
    with pytest.raises(FileExistsError, match="version"):
        export_savedmodel(model, base, tile_size=32, version=7)


def test_a_failed_export_leaves_nothing_behind(tmp_path, colour_model):
    with pytest.raises(TypeError):
        export_savedmodel(
            colour_model, tmp_path / "m", tile_size=64, training_figures={"x": object()}
        )
    assert list((tmp_path / "m").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"value_scale": "percent"}, "value_scale"),
        ({"pixels": "int32"}, "pixels"),
        ({"value_scale": "raw"}, "raw"),
        ({"threshold": 0.0}, "threshold"),
        ({"classes": ["one"]}, "classes"),
        ({"activation": "relu"}, "activation"),
        ({"halo": 40}, "keeps no pixel"),
    ],
)
def test_unfitting_arguments_are_refused(tmp_path, colour_model, arguments, message):
    with pytest.raises(ValueError, match=message):
        export_savedmodel(colour_model, tmp_path / "m", **{"tile_size": 64, **arguments})


def test_more_than_two_gigabytes_are_refused(tmp_path):
    class Huge:
        input_shape = (None, None, None, 1)

        class _Weight:
            shape = (2**30,)

        weights = (_Weight(),)
        trainable_weights = ()

        def __call__(self, tiles):
            return tiles

    with pytest.raises(ValueError, match="2 GB"):
        export_savedmodel(Huge(), tmp_path / "m", tile_size=64)
