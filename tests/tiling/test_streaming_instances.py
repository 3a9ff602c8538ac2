"""Instances of images larger than memory."""

from __future__ import annotations

import numpy as np
import pytest

from keras_unet3p import models
from keras_unet3p.client.concurrent_tiles import ConcurrentTiles
from keras_unet3p.export import export_savedmodel
from keras_unet3p.postprocessing import InstanceRule
from keras_unet3p.tiling import StreamingPredictor, TileGeometry
from tests.postprocessing.instance_maps import noisy_cells

GEOMETRY = TileGeometry((40, 48), 8, 0, 4)
RULE = InstanceRule(seed_threshold=0.6)


class Echo:
    """A model that answers with its tiles: the image holds the maps."""

    url = "echo"
    multi_label = True

    def __init__(self):
        self.calls = 0

    def predict_tiles(self, tiles):
        self.calls += 1
        return tiles


@pytest.fixture(scope="module")
def maps():
    return noisy_cells()[1]


def predictor(model=None, rule=RULE):
    return StreamingPredictor(
        model or Echo(), geometry=GEOMETRY, rule=rule, seconds_between_records=0.0
    )


def test_the_ids_are_those_of_the_whole_image(maps, tmp_path):
    expected = RULE.instances(maps)
    in_memory = predictor().predict(maps, kind="instances", progress=False)
    on_disk = predictor().predict(maps, tmp_path / "ids.npy", kind="instances", progress=False)
    given = np.zeros(maps.shape[:2], np.uint32)
    predictor().predict(maps, given, kind="instances", progress=False)
    for found in (in_memory, on_disk, given):
        np.testing.assert_array_equal(found, expected)
    assert on_disk.dtype == np.int32
    assert [path.name for path in tmp_path.iterdir()] == ["ids.npy"]


def test_a_run_that_was_stopped_continues(maps, tmp_path, monkeypatch):
    arguments = maps, tmp_path / "ids.npy"
    echo = Echo()

    def stop(done, total):
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predictor(echo).predict(*arguments, kind="instances", progress=stop)
    first = echo.calls
    # The second is stopped while the objects are numbered: no tile is needed again.
    with monkeypatch.context() as patch:
        patch.setattr("keras_unet3p.tiling.streaming_predictor._release", lambda _: stop(20, 0))
        with pytest.raises(KeyboardInterrupt):
            predictor(echo).predict(*arguments, kind="instances", progress=False)
    tiles = len(GEOMETRY.tiles(*maps.shape[:2]))
    assert first == 20
    assert echo.calls <= tiles + 1 + GEOMETRY.tiles(*maps.shape[:2]).columns
    assert not (tmp_path / "ids.npy").exists()
    again = Echo()
    found = predictor(again).predict(*arguments, kind="instances", progress=False)
    assert again.calls == 0
    np.testing.assert_array_equal(found, RULE.instances(maps))
    assert [path.name for path in tmp_path.iterdir()] == ["ids.npy"]


def test_maps_of_another_run_are_not_taken(maps, tmp_path):
    (tmp_path / "ids.npy.maps.npy").write_bytes(b"another run's")
    found = predictor().predict(maps, tmp_path / "ids.npy", kind="instances", progress=False)
    np.testing.assert_array_equal(found, RULE.instances(maps))


def test_a_journal_of_another_rule_is_refused(maps, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    arguments = maps, tmp_path / "ids.npy"
    with pytest.raises(KeyboardInterrupt):
        predictor().predict(*arguments, kind="instances", progress=stop)
    with pytest.raises(ValueError, match=r"belongs to a run with rule = .* delete it"):
        predictor(rule=InstanceRule()).predict(*arguments, kind="instances", progress=False)


def test_an_export_tells_its_rule(tmp_path, maps):
    model = models.unet(
        (None, None, 1), num_classes=2, classifier_activation="sigmoid", filters=4, depth=2
    )
    rule = InstanceRule(0.45, 0.5, 2, 3)
    version = export_savedmodel(
        model, tmp_path / "cells", tile_size=64, threshold=0.45, instances=rule
    )
    image = maps[..., :1]
    exported = StreamingPredictor(version)
    found = exported.predict(image, kind="instances", progress=False)
    probabilities = exported.predict(image, kind="probabilities", progress=False)
    np.testing.assert_array_equal(found, rule.instances(probabilities))


def test_through_an_endpoint(maps):
    with ConcurrentTiles(
        Echo().predict_tiles, "echo", multi_label=True, concurrency=2, tiles_per_request=1
    ) as tiles:
        found = predictor(tiles).predict(maps, kind="instances", progress=False)
    np.testing.assert_array_equal(found, RULE.instances(maps))


def test_what_is_refused(maps):
    with pytest.raises(ValueError, match="'instances' needs a rule, and this model tells none"):
        predictor(rule=None).predict(maps, kind="instances")
    output = np.zeros(maps.shape[:2], np.uint16)
    with pytest.raises(ValueError, match="output must hold integers of 32 bits, found uint16"):
        predictor().predict(maps, output, kind="instances", progress=False)
