"""Prediction on a Dask cluster: two worker processes of this machine."""

from __future__ import annotations

import os
import shutil
import signal

import numpy as np
import pytest

import keras_unet3p as ku
from keras_unet3p import workflow
from keras_unet3p.endpoint import LocalServer
from keras_unet3p.postprocessing import InstanceRule
from keras_unet3p.tiling import StreamingPredictor

distributed = pytest.importorskip("distributed", reason="Dask's scheduler and workers")
zarr = pytest.importorskip("zarr", reason="workers write Zarr arrays")


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """300 x 420 pixels of a Zarr array."""
    pixels, _ = ku.data.generate_cells((300, 420), seed=1)
    folder = tmp_path_factory.mktemp("image") / "image.zarr"
    zarr.create_array(folder, data=pixels, chunks=(100, 100))
    return folder, pixels


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A network of three classes as a file, and an export that tells instances apart."""
    folder = tmp_path_factory.mktemp("models")
    classes = ku.models.unet((None, None, 1), num_classes=3, filters=4, depth=2)
    classes.save(folder / "classes.keras")
    stretched = ku.models.unet(
        (None, None, 1),
        num_classes=2,
        filters=4,
        depth=2,
        classifier_activation="sigmoid",
        normalization={"mean": [0.5], "std": [0.25], "percentiles": [1.0, 99.8]},
    )
    version = ku.export.export_savedmodel(
        stretched,
        folder / "cells",
        tile_size=64,
        instances=InstanceRule(),
        training_metrics={"mask_kind": "instances"},
    )
    return folder / "classes.keras", version


def run(model, image, out, cluster, **options):
    path = workflow.predict_on_cluster(
        model, image[0], out, scheduler=cluster.scheduler_address, tile_size=64, **options
    )
    assert path == out
    assert {entry.name for entry in out.parent.iterdir()} <= {out.name, f"{out.name}.lock"}
    return zarr.open_array(out, mode="r")


@pytest.mark.parametrize("kind", ["classes", "probabilities"])
def test_workers_give_what_the_streaming_predictor_gives(kind, models, image, cluster, tmp_path):
    steps = []
    out = run(
        models[0],
        image,
        tmp_path / "mask.zarr",
        cluster,
        kind=kind,
        chunk=100,
        progress=lambda *step: steps.append(step),
    )
    expected = StreamingPredictor(models[0], tile_size=64).predict(
        image[1], kind=kind, progress=False
    )
    if kind == "classes":
        np.testing.assert_array_equal(out[:], expected)
        assert out.dtype == np.uint8
    else:  # threads share out a convolution's sums in another way
        np.testing.assert_allclose(out[:], expected, atol=1e-6)
    count = -(-300 // out.shards[0]) * -(-420 // out.shards[1])
    assert steps == [(done, count) for done in range(count + 1)]
    assert count > 6
    with pytest.raises(ValueError, match=r"out: .*mask\.zarr is there already"):
        run(models[0], image, tmp_path / "mask.zarr", cluster)


def test_instances_are_numbered_across_chunks(models, image, cluster, tmp_path):
    out = run(models[1], image, tmp_path / "ids.zarr", cluster, chunk=64)
    expected = StreamingPredictor(models[1]).predict(image[1], kind="instances", progress=False)
    np.testing.assert_array_equal(out[:], expected)
    assert out.dtype == np.int32


def test_an_endpoint_computes_for_the_workers(models, image, cluster, tmp_path):
    card = models[1] / "assets.extra" / "model_card.json"
    with LocalServer({"cells": models[1].parent}) as server:
        url = f"{server.url}/cells"
        out = run(url, image, tmp_path / "ids.zarr", cluster, card=card, chunk=200)
        with pytest.raises(ValueError, match="card: an endpoint does not tell"):
            run(url, image, tmp_path / "none.zarr", cluster)
    expected = StreamingPredictor(models[1]).predict(image[1], kind="instances", progress=False)
    np.testing.assert_array_equal(out[:], expected)


def test_a_worker_that_is_killed_loses_nothing(models, image, cluster, tmp_path):
    with distributed.Client(cluster) as client:
        workers = client.run(os.getpid)

    def kill(done: int, total: int) -> None:
        if done == 2:
            os.kill(next(iter(workers.values())), signal.SIGKILL)

    out = run(models[0], image, tmp_path / "mask.zarr", cluster, chunk=64, progress=kill)
    expected = StreamingPredictor(models[0], tile_size=64).predict(image[1], progress=False)
    np.testing.assert_array_equal(out[:], expected)


def test_a_stopped_call_goes_on_with_what_is_missing(models, image, cluster, tmp_path):
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    out, steps = tmp_path / "mask.zarr", []
    with pytest.raises(KeyboardInterrupt):
        run(models[0], image, out, cluster, chunk=64, progress=stop)
    assert not out.exists()
    found = run(models[0], image, out, cluster, chunk=64, progress=lambda *step: steps.append(step))
    assert steps[0][0] == 3
    expected = StreamingPredictor(models[0], tile_size=64).predict(image[1], progress=False)
    np.testing.assert_array_equal(found[:], expected)
    shutil.rmtree(out)
    with pytest.raises(KeyboardInterrupt):
        run(models[0], image, out, cluster, chunk=64, progress=stop)
    steps.clear()
    run(models[0], image, out, cluster, chunk=128, progress=lambda *step: steps.append(step))
    assert steps[0][0] == 0, "other chunks: nothing of the former is taken"


def test_what_a_worker_says_is_told(models, cluster, tmp_path, image):
    colour = tmp_path / "colour.zarr"
    zarr.create_array(colour, data=np.zeros((70, 80, 3), np.uint8))
    with pytest.raises(ValueError, match="image must have 1 channels for this model, found 3"):
        workflow.predict_on_cluster(
            models[0], colour, tmp_path / "out.zarr", scheduler=cluster.scheduler_address
        )
    for options, message in (
        ({}, "scheduler, workers: give one of them"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"workers": 1, "kind": "boxes"}, "kind must be one of"),
        ({"workers": 1, "kind": "instances"}, "needs a model that tells instances apart"),
        ({"workers": 1, "chunk": 0}, "chunk must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            workflow.predict_on_cluster(models[0], image[0], tmp_path / "out.zarr", **options)
