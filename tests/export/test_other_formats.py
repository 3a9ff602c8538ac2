from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p.export import export_litert, export_onnx, export_openvino
from keras_unet3p.models import unet3plus
from keras_unet3p.tiling import StreamingPredictor, TileGeometry, predict_image
from tests.tiling.networks import small_network, trained_statistics


@pytest.fixture(scope="module")
def model():
    model = unet3plus((None, None, 3), filters=(4, 8, 8), classification_guided=True)
    trained_statistics(model)
    model.get_layer("presence_conv").bias.assign([-9.0, 9.0])
    return model


class Onnx:
    def __init__(self, path):
        runtime = pytest.importorskip("onnxruntime")
        self._session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def predict_tiles(self, tiles):
        return self._session.run(["probabilities"], {"tile": tiles})[0]


class OpenVino:
    def __init__(self, path):
        openvino = pytest.importorskip("openvino")
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        self._model = openvino.compile_model(str(path), "CPU", options)

    def predict_tiles(self, tiles):
        return self._model({"tile": tiles})["probabilities"]


class LiteRt:
    def __init__(self, path):
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            Interpreter = tf.lite.Interpreter
        self._interpreter = Interpreter(model_path=str(path))
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def predict_tiles(self, tiles):
        self._interpreter.set_tensor(self._input, tiles)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)


def onnx(model, path, **options):
    pytest.importorskip("tf2onnx")
    return export_onnx(model, path / "m.onnx", **options), Onnx


def openvino(model, path, **options):
    pytest.importorskip("openvino")
    return export_openvino(model, path / "m.xml", **options), OpenVino


def litert(model, path, **options):
    return export_litert(model, path / "m.tflite", **options), LiteRt


@pytest.mark.parametrize("export", [onnx, openvino, litert])
def test_agrees_with_the_original_on_tiles_and_on_whole_images(tmp_path, model, export):
    path, runtime = export(model, tmp_path, tile_size=64, halo=16)
    exported = runtime(path)
    tile = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
    expected = model(tile, training=False)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(exported.predict_tiles(tile), expected, atol=1e-5)

    card = json.loads((tmp_path / "m.model_card.json").read_text())
    for name, digest in card["sha256"].items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    assert {p.name for p in tmp_path.iterdir()} == {"m.model_card.json", *card["sha256"]}

    image = np.random.default_rng(1).random((70, 90, 3), np.float32)
    geometry = TileGeometry.from_dict(card["geometry"])
    predictor = StreamingPredictor(exported, geometry=geometry)
    found = predictor.predict(image, kind="probabilities", progress=False)
    np.testing.assert_allclose(found, predict_image(model, image, geometry=geometry), atol=1e-5)


@pytest.mark.parametrize("export", [onnx, openvino, litert])
def test_a_tile_of_another_shape_is_refused(tmp_path, export):
    path, runtime = export(small_network("same", 3, depth=1, filters=2), tmp_path, tile_size=32)
    exported = runtime(path)
    answered = []
    for shape in [
        *((1,) * rank for rank in range(7)),
        (32, 32),
        (1, 32, 32),
        (1, 31, 32, 3),
        (1, 64, 16, 3),
        (1, 32, 32, 1),
        (1, 32, 32, 4),
        (1, 1, 32, 32, 3),
    ]:
        try:
            exported.predict_tiles(np.zeros(shape, np.float32))
        except Exception:  # each runtime has its own kind
            continue
        answered.append(shape)
    assert answered == []
    assert exported.predict_tiles(np.zeros((1, 32, 32, 3), np.float32)).shape == (1, 32, 32, 1)


@pytest.mark.parametrize("export", [onnx, openvino, litert])
def test_what_a_killed_export_left_is_removed_by_the_next(tmp_path, export):
    name = {onnx: "m.onnx", openvino: "m.xml", litert: "m.tflite"}[export]
    left = tmp_path / f".{name}.unfinished"
    left.mkdir()
    (left / "half").write_bytes(b"half")
    path, _ = export(small_network("same", 1, depth=1, filters=2), tmp_path, tile_size=32)
    assert path.is_file()
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def test_weights_that_are_not_finite_are_refused(tmp_path):
    model = small_network("same", 1, depth=1, filters=2)
    model.weights[0].assign(np.full(model.weights[0].shape, np.nan))
    with pytest.raises(ValueError, match="finite"):
        litert(model, tmp_path, tile_size=32)


def test_half_precision_halves_the_file(tmp_path):
    model = small_network("same", 3, filters=24)
    full, _ = litert(model, tmp_path, tile_size=64)
    size = full.stat().st_size
    half, runtime = litert(model, tmp_path, tile_size=64, half=True)
    assert half.stat().st_size < 0.6 * size
    tile = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
    found = runtime(half).predict_tiles(tile)
    np.testing.assert_allclose(found, model(tile, training=False), atol=0.01)


def test_wrong_endings_are_refused(tmp_path, model):
    with pytest.raises(ValueError, match="tflite"):
        export_litert(model, tmp_path / "m.onnx")
