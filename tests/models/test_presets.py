"""The trained networks that come with the package."""

import json
import threading

import numpy as np
import pytest

from keras_unet3p import data, models, tiling, workflow
from keras_unet3p.artifacts import ModelSource, Preset
from keras_unet3p.client import Client
from keras_unet3p.config import TrainingConfig
from keras_unet3p.errors import InputError
from keras_unet3p.images import pictures


def test_all_presets_together_are_small():
    assert sum(Preset(name).weights.stat().st_size for name in Preset.names()) < 12e6


@pytest.mark.parametrize("name", Preset.names())
def test_every_preset_is_whole(name):
    preset = Preset(name)
    network = models.from_preset(name)
    assert network.architecture == preset.network()["architecture"]
    given = preset.layer_weights()
    for layer in (layer for layer in network.layers if layer.weights):
        for ours, theirs in zip(layer.get_weights(), given[layer.name], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    record, chosen = preset.run.read_record(), preset.run.read_postprocessing()
    assert record.training_config().architecture == network.architecture
    options = preset.network()["options"]
    assert record.data.normalization == options["normalization"]
    assert chosen is not None
    assert chosen.score > chosen.default_score
    assert f"{record.data.num_channels} channel" in preset.card.replace("one", "1")


def test_an_unknown_preset_is_refused():
    with pytest.raises(InputError, match="'cats' is unknown; this version has nuclei"):
        models.from_preset("cats")


def test_a_model_of_that_name_goes_before_the_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ModelSource.of("nuclei").kind == "preset"
    (tmp_path / "nuclei").mkdir()  # results, say
    assert ModelSource.of("nuclei").kind == "preset"
    (tmp_path / "nuclei" / "config.json").write_text("{}")
    assert ModelSource.of("nuclei").kind == "run"


def test_weights_beyond_float16_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"layer 'e1': weights beyond float16, found 70000"):
        Preset.write_weights(tmp_path / "weights.npz", {"e1": [np.array([70000.0])]})


def test_weights_come_back_in_their_order(tmp_path, monkeypatch):
    layers = {"a/b": [np.full(2, float(n), np.float32) for n in range(12)]}
    Preset.write_weights(tmp_path / "weights.npz", layers)
    monkeypatch.setattr(Preset, "weights", tmp_path / "weights.npz")
    read = Preset("nuclei").layer_weights()
    assert [float(values[0]) for values in read["a/b"]] == list(range(12))


def nuclei(side=192):
    """Bright discs on a dark ground, some of them touching, with noise; and their ids."""
    rng = np.random.default_rng(3)
    rows, columns = np.indices((side, side))
    ids = np.zeros((side, side), np.int32)
    for number, (row, column) in enumerate(
        [(30, 30), (30, 49), (80, 120), (98, 128), (150, 50), (150, 150), (40, 160)], start=1
    ):
        ids[(rows - row) ** 2 + (columns - column) ** 2 <= 100] = number
    image = 0.15 + 0.5 * (ids > 0) + rng.normal(0, 0.03, ids.shape)
    return image.clip(0, 1), ids


@pytest.mark.parametrize(
    "stored",
    [
        lambda image: (image * 255).astype(np.uint8),
        lambda image: (image * 4095).astype(np.uint16),
        lambda image: image.astype(np.float32),
    ],
)
def test_nuclei_are_told_apart_at_any_scale_of_intensities(stored):
    image, ids = nuclei()
    predictor = workflow.open_model("nuclei")
    found = predictor.instances(stored(image)[..., np.newaxis])
    assert found.max() == ids.max()
    for number in range(1, ids.max() + 1):
        ours = ids == number
        theirs = found == np.bincount(found[ours]).argmax()
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.7


def test_an_exported_preset_gives_the_same_instances(tmp_path):
    image = (nuclei(96)[0] * 255).astype(np.uint8)[..., np.newaxis]
    workflow.export("nuclei", tmp_path / "nuclei", tile_size=64)
    served = workflow.open_model(tmp_path / "nuclei")
    predictor = workflow.open_model("nuclei", tile_size=64)
    np.testing.assert_array_equal(served.instances(image), predictor.instances(image))
    assert served.rule == predictor.rule


def test_a_preset_is_served():
    pytest.importorskip("uvicorn")
    image = (nuclei(96)[0] * 255).astype(np.uint8)[..., np.newaxis]
    stop, found = threading.Event(), []

    def ask(server):
        found.append(Client(server.url, model="nuclei").predict_instances(image))
        stop.set()

    workflow.serve("nuclei", port=0, grpc_port=0, on_ready=ask, stop=stop)
    np.testing.assert_array_equal(found[0], workflow.open_model("nuclei").instances(image))


def test_a_run_begins_with_a_preset(tmp_path):
    for number in range(3):
        image, ids = data.generate_cells((60, 76), seed=number)
        pictures.write_picture(tmp_path / "images" / f"{number}.png", image)
        pictures.write_picture(tmp_path / "masks" / f"{number}.png", ids.astype(np.uint8))
    config = TrainingConfig(
        init="nuclei", tuning=False, epochs=1, steps_per_epoch=1, patch_size=32, batch_size=1
    )
    workflow.train(
        tmp_path / "images",
        tmp_path / "masks",
        config,
        out=tmp_path / "run",
        mask_kind="instances",
    )
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["init"]["source"] == record["training"]["init"] == "nuclei"
    assert record["training"]["filters"] == 16
    assert not record["init"]["new"]


def test_a_tiler_names_what_to_give_instead():
    with pytest.raises(InputError, match=r"is a preset; give models\.from_preset\('nuclei'\)"):
        tiling.StreamingPredictor("nuclei")
