"""Graphs that prediction keeps of a model."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import weakref

import numpy as np
import pytest

from keras_unet3p.models import unet
from keras_unet3p.tiling import image_prediction, predict_image


def test_only_the_graphs_used_last_are_kept(monkeypatch):
    model = unet(filters=2, depth=2)
    image = np.random.default_rng(0).random((80, 90), np.float32)
    kept = image_prediction._MOST_COMPILED
    sizes = [32 + 4 * number for number in range(kept + 1)]
    made, graphs = [], []
    compile_graph = image_prediction._compile

    def watched(tiler, *arguments):
        run = compile_graph(tiler, *arguments)
        made.append(tiler.geometry.tile[0])
        graphs.append(weakref.ref(run))
        return run

    monkeypatch.setattr(image_prediction, "_compile", watched)
    for size in (*sizes[:kept], sizes[0], sizes[kept], sizes[0]):
        predict_image(model, image, tile_size=size, halo=8)
    assert made == sizes
    gc.collect()
    assert [graph() is not None for graph in graphs] == [size != sizes[1] for size in sizes]


@pytest.mark.parametrize("classes", [1, 3])
def test_class_ids_are_decided_from_the_probabilities(networks, classes):
    model = networks("same", 3, classes)
    image = np.random.default_rng(0).random((70, 90, 3), np.float32)
    options = {"tile_size": 48, "halo": 8, "threshold": 0.4}
    probabilities = predict_image(model, image, **options)
    ids = predict_image(model, image, kind="classes", **options)
    assert ids.dtype == np.uint8
    expected = probabilities.argmax(-1) if classes > 1 else probabilities[..., 0] >= 0.4
    np.testing.assert_array_equal(ids, expected)
    assert 0 < ids.mean() < classes - 1 or classes == 1


def test_classes_that_may_overlap_get_a_map_each():
    model = unet(num_classes=2, classifier_activation="sigmoid", filters=2, depth=1)
    image = np.random.default_rng(0).random((40, 50, 1), np.float32)
    maps = predict_image(model, image, tile_size=32, kind="classes", threshold=0.49)
    probabilities = predict_image(model, image, tile_size=32)
    np.testing.assert_array_equal(maps, probabilities >= 0.49)


def test_another_kind_is_refused(networks):
    with pytest.raises(ValueError, match=r"kind must be .* found 'labels'"):
        predict_image(networks(), np.zeros((40, 50), np.uint8), kind="labels")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_class_ids_do_not_hold_the_probabilities_of_the_whole_image(tmp_path):
    """Those of this image would take 256 MiB, its class ids 2 MiB."""
    code = """
        import pathlib, sys
        import keras
        import numpy as np
        from keras_unet3p.workflow import open_model
        image = keras.Input((None, None, 1))
        layer = keras.layers.Conv2D(32, 1, activation="softmax")
        keras.Model(image, layer(image)).save(sys.argv[1])
        predictor = open_model(sys.argv[1], tile_size=128)
        predictor.labels(np.zeros((200, 512, 1), np.float32))
        large = np.zeros((4096, 512, 1), np.float32)
        def peak():
            status = pathlib.Path("/proc/self/status").read_text()
            return int(status.split("VmHWM:")[1].split()[0]) / 1024
        before = peak()
        assert predictor.labels(large).shape == (4096, 512)
        grown = peak() - before
        assert grown < 128, grown
    """
    run = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "m.keras")]
    subprocess.run(run, check=True)
