from __future__ import annotations

import hashlib
import json

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from keras_unet3p import files, images
from keras_unet3p.artifacts import newest_version
from keras_unet3p.export import export_savedmodel, saved_model
from keras_unet3p.export.cards import model_card
from keras_unet3p.models import unet
from keras_unet3p.tiling import StreamingPredictor, TileGeometry, predict_image
from keras_unet3p.workflow import open_model
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
        training_metrics={"dice": 0.9},
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


def test_the_signatures_have_the_promised_names_types_and_shapes(exported):
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
        "probabilities_of_bytes": {
            "image_bytes": ("string", [-1]),
            "probability_bytes": ("string", [-1, 4]),
        },
        "tile": {
            "tile": ("float32", [-1, 64, 64, 3]),
            "probabilities": ("float32", [-1, 64, 64, 4]),
        },
    }


def test_probabilities_as_pngs_are_the_floats_in_255_steps(served):
    image, other = picture(70, 91, 3), picture(64, 64, 3)
    floats = served("probabilities", image=image[None])["probabilities"][0]
    pngs = served("probabilities_of_bytes", image_bytes=[encode(image), encode(other)])
    rows = pngs["probability_bytes"]
    assert rows.shape == (2, 4)
    maps = np.stack([decode(png) for png in rows[0]], -1)
    assert maps.dtype == np.uint8
    assert np.abs(maps / 255.0 - floats).max() <= 0.5 / 255.0 + 1e-6
    assert sum(len(png) for png in rows[0]) < floats.nbytes / 4
    assert decode(rows[1, 0]).shape == (64, 64)


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
        (jpeg, tf.io.decode_jpeg(jpeg, dct_method="INTEGER_ACCURATE").numpy()),
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
        model, tmp_path / "m", tile_size=32, halo=8, value_scale="raw", input_dtype="float32"
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


def warmup_requests(folder):
    """(signature, inputs) of each warm-up record."""
    logs = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.compat.v1.io.tf_record_iterator(str(path)):
        request = logs.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == folder.parent.name
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        yield request.model_spec.signature_name, inputs


def wide_model(num_classes):
    """One convolution whose classes win one after the other from dark to bright."""
    model = keras.Sequential(
        [keras.Input((None, None, 1)), keras.layers.Conv2D(num_classes, 1, activation="softmax")]
    )
    steps = np.arange(num_classes)
    # The largest of 2 c x - c^2 is the c that is nearest to x.
    places = steps / (num_classes - 1)
    model.set_weights([2000 * places.reshape(1, 1, 1, -1), -1000 * places**2])
    return model


def test_warmup_records_cover_every_signature_and_succeed(exported, served):
    asked = []
    for signature, inputs in warmup_requests(exported):
        served(signature, **inputs)
        asked.append(signature)
    assert sorted(asked) == [
        "classes",
        "probabilities",
        "probabilities_of_bytes",
        "serving_default",
        "tile",
    ]


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
    stored = images.StoredValues("uint8", 3, (0.0, 2.0), (9.0, 11.0), (200.0, 250.0))
    normalization = images.Normalization((0.25,), (0.5,), stored_values=(stored,))
    model = unet((None, None, 1), filters=2, depth=1, normalization=normalization)
    folder = export_savedmodel(model, tmp_path / "m", tile_size=32)
    card = json.loads((folder / "assets.extra" / "model_card.json").read_text())
    assert card["normalization"] == {
        "value_scale": "unit",
        "input_dtype": "uint8",
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
    with pytest.raises(ValueError, match="version"):
        export_savedmodel(model, base, tile_size=32, version=7)


def test_folders_that_no_server_takes_for_versions_are_ignored(tmp_path):
    for name in ("1" + "0" * 23, str(2**63), "0", "-3", "+4", "٥", "1e3", ".9"):
        (tmp_path / name).mkdir()
    model = unet((None, None, 1), filters=2, depth=1)
    assert export_savedmodel(model, tmp_path, tile_size=32).name == "1"
    assert newest_version(tmp_path).name == "1"
    (tmp_path / "007").mkdir()
    with pytest.raises(ValueError, match="007"):
        export_savedmodel(model, tmp_path, tile_size=32, version=7)
    (tmp_path / str(2**63 - 1)).mkdir()
    with pytest.raises(ValueError, match=f"version must be 1 to {2**63 - 1}"):
        export_savedmodel(model, tmp_path, tile_size=32)


@pytest.mark.parametrize("version", [0, -3, 2**63, 10**23])
def test_versions_that_no_server_reads_are_refused(tmp_path, version):
    model = unet((None, None, 1), filters=2, depth=1)
    with pytest.raises(ValueError, match=f"version must be 1 to .* found {version}"):
        export_savedmodel(model, tmp_path / "m", tile_size=32, version=version)
    assert not (tmp_path / "m").exists()


def test_a_second_export_to_a_folder_is_refused_and_the_first_one_completes(tmp_path, monkeypatch):
    model = unet((None, None, 1), filters=2, depth=1)
    refusals = []

    def card_while_another_exports(*arguments, **options):
        if not refusals:
            with pytest.raises(ValueError, match=f"{tmp_path}.* in use by process") as refused:
                export_savedmodel(model, tmp_path, tile_size=32)
            refusals.append(refused)
        return model_card(*arguments, **options)

    monkeypatch.setattr(saved_model, "model_card", card_while_another_exports)
    assert export_savedmodel(model, tmp_path, tile_size=32).name == "1"
    assert len(refusals) == 1
    assert export_savedmodel(model, tmp_path, tile_size=32).name == "2"
    assert {entry.name for entry in tmp_path.iterdir()} == {"1", "2"}


def test_what_a_killed_export_left_is_removed_by_the_next(tmp_path, monkeypatch):
    model = unet((None, None, 1), filters=2, depth=1)

    def killed(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(saved_model, "model_card", killed)
        patch.setattr(files.shutil, "rmtree", lambda *arguments, **options: None)
        with pytest.raises(KeyboardInterrupt):
            export_savedmodel(model, tmp_path, tile_size=32)
    assert len(list(tmp_path.glob("*/*/saved_model.pb"))) == 1
    assert export_savedmodel(model, tmp_path, tile_size=32).name == "1"
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]


def test_nothing_but_a_check_of_the_shape_reads_an_input(exported):
    saved = SavedModel.FromString((exported / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    inputs = {node.name: node for node in graph.node if node.op == "Placeholder"}
    declared = {
        info.name.removesuffix(":0"): info.tensor_shape
        for signature in saved.meta_graphs[0].signature_def.values()
        for info in signature.inputs.values()
    }
    assert set(inputs) == set(declared)
    for name in inputs:
        readers = [node for node in graph.node if name in [i.split(":")[0] for i in node.input]]
        assert [node.op for node in readers] == ["EnsureShape"]
        assert readers[0].attr["shape"].shape == declared[name]


@pytest.mark.parametrize("limits", [(1000, None), (1000, 2000)])
def test_pixels_are_capped_before_anything_is_computed(tmp_path, colour_model, limits):
    per_image, per_batch = limits
    folder = export_savedmodel(
        colour_model,
        tmp_path / "m",
        tile_size=TILE,
        halo=HALO,
        max_pixels=per_image,
        max_batch_pixels=per_batch,
    )
    most = (per_batch or per_image) // 500
    with SessionModel(folder) as served:
        for signature in ("classes", "probabilities"):
            served(signature, image=np.zeros((1, 20, 50, 3), np.uint8))
            served(signature, image=np.zeros((most, 10, 50, 3), np.uint8))
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"1000.*\[20\] \[51\]"):
                served(signature, image=np.zeros((1, 20, 51, 3), np.uint8))
            with pytest.raises(
                tf.errors.InvalidArgumentError, match=rf"{most * 500}.*\[{most + 1}\] \[10\] \[50\]"
            ):
                served(signature, image=np.zeros((most + 1, 10, 50, 3), np.uint8))
        tiles = np.zeros((1, TILE, TILE, 3), np.float32)
        served("tile", tile=tiles)  # one tile always passes
        with pytest.raises(tf.errors.InvalidArgumentError, match="together"):
            served("tile", tile=np.repeat(tiles, 2, axis=0))
        for signature, inputs in warmup_requests(folder):
            served(signature, **inputs)
    card = json.loads((folder / "assets.extra" / "model_card.json").read_text())
    assert (card["max_pixels"], card["max_batch_pixels"]) == (per_image, per_batch or per_image)


@pytest.mark.parametrize("num_classes", [256, 257])
def test_class_ids_beyond_255_keep_their_number(tmp_path, num_classes):
    model = wide_model(num_classes)
    folder = export_savedmodel(model, tmp_path / "m", tile_size=32, halo=8, input_dtype="float32")
    image = np.linspace(0, 65535, num_classes).round().astype(np.uint16).reshape(1, -1, 1)
    with SessionModel(folder) as served:
        ids = served("classes", image=image[None] / np.float32(65535))["class_ids"][0]
        data = served("serving_default", image_bytes=[encode(image)])["mask_bytes"][0]
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(ids, [range(num_classes)])
    np.testing.assert_array_equal(mask, [range(num_classes)])
    expected = (np.uint8, np.uint8) if num_classes <= 256 else (np.int32, np.uint16)
    assert (ids.dtype, mask.dtype) == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, bad):
    model = unet((None, None, 1), filters=2, depth=1, batch_norm=True)
    value = model.weights[3].numpy()
    value.flat[0] = bad
    model.weights[3].assign(value)
    with pytest.raises(ValueError, match=r"finite numbers, found NaN .* 1 of \d+"):
        export_savedmodel(model, tmp_path / "m", tile_size=32)
    assert not (tmp_path / "m").exists()


def test_a_failed_export_leaves_nothing_behind(tmp_path, colour_model):
    with pytest.raises(TypeError):
        export_savedmodel(
            colour_model, tmp_path / "m", tile_size=64, training_metrics={"x": object()}
        )
    assert list((tmp_path / "m").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"value_scale": "percent"}, "value_scale"),
        ({"input_dtype": "int32"}, "input_dtype"),
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


def overlapping(classes):
    options = {"filters": 2, "depth": 1, "padding": "same", "classifier_activation": "sigmoid"}
    return unet((None, None, 1), classes, **options)


def test_classes_that_may_overlap_have_a_map_each(tmp_path):
    model = overlapping(3)
    image = picture(40, 50, 1)
    expected = predict_image(model, image, tile_size=32, halo=8)
    threshold = float(np.median(expected))
    folder = export_savedmodel(model, tmp_path, tile_size=32, halo=8, threshold=threshold)
    with SessionModel(folder) as served:
        found = served("probabilities", image=image[None])["probabilities"][0]
        maps = served("classes", image=image[None])["class_ids"]
        data = served("serving_default", image_bytes=[encode(image)])["mask_bytes"][0]
        info = served.signatures["classes"].outputs["class_ids"]
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_array_equal(maps[0], found >= threshold)
    assert maps.dtype == np.uint8
    assert [dim.size for dim in info.tensor_shape.dim] == [-1, -1, -1, 3]
    assert maps.sum(-1).max() > 1  # they do overlap
    np.testing.assert_array_equal(decode(data), maps[0] @ [1, 2, 4])
    card = json.loads((folder / "assets.extra/model_card.json").read_text())
    assert card["multi_label"] is True
    assert card["threshold"] == threshold
    for streamed in (
        StreamingPredictor(folder).predict(image, progress=False),
        StreamingPredictor(model, tile_size=32, halo=8, threshold=threshold).predict(
            image, progress=False
        ),
    ):
        assert streamed.shape == (40, 50, 3)
        assert np.mean(streamed == maps[0]) > 0.999  # 0.5 ulp beside the threshold
    with pytest.raises(ValueError, match="holds one class for each pixel"):
        open_model(folder)
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="holds one class for each pixel"):
        open_model(tmp_path / "model.keras")


@pytest.mark.parametrize("classes", [9, 17])
def test_a_png_holds_up_to_16_classes_that_may_overlap(classes, tmp_path):
    folder = export_savedmodel(overlapping(classes), tmp_path, tile_size=16, halo=4)
    image = picture(16, 16, 1)
    with SessionModel(folder) as served:
        maps = served("classes", image=image[None])["class_ids"][0]
        assert maps.shape == (16, 16, classes)
        if classes > 16:
            with pytest.raises(tf.errors.InvalidArgumentError, match="signature classes or"):
                served("serving_default", image_bytes=[encode(image)])
            return
        data = served("serving_default", image_bytes=[encode(image)])["mask_bytes"][0]
    sets = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert sets.dtype == np.uint16
    np.testing.assert_array_equal(sets, maps @ 2 ** np.arange(classes))
