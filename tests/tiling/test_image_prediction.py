"""Graphs that prediction keeps of a model."""

from __future__ import annotations

import gc
import weakref

import numpy as np

from keras_unet3p.tiling import image_prediction, predict_image


def test_only_the_graphs_used_last_are_kept(networks, monkeypatch):
    model = networks("same", 1, 1)
    image = np.random.default_rng(0).random((40, 50), np.float32)
    made, graphs = [], []
    compile_graph = image_prediction._compile

    def watched(tiler, *arguments):
        run = compile_graph(tiler, *arguments)
        made.append(tiler.geometry.tile[0])
        graphs.append(weakref.ref(run))
        return run

    monkeypatch.setattr(image_prediction, "_compile", watched)
    monkeypatch.setattr(image_prediction, "_MOST_COMPILED", 2)
    monkeypatch.setattr(image_prediction, "_COMPILED", weakref.WeakKeyDictionary())
    for size in (32, 48, 32, 64, 32):
        predict_image(model, image, tile_size=size, halo=8)
    assert made == [32, 48, 64]
    gc.collect()
    assert [graph() is not None for graph in graphs] == [True, False, True]
