"""What a model that cannot be loaded is told to be."""

import json
import shutil
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import data, models, workflow
from keras_unet3p.artifacts.model_card import CARD_FILE
from keras_unet3p.client import Client
from keras_unet3p.endpoint import LocalServer
from keras_unet3p.errors import InputError
from keras_unet3p.export import export_savedmodel
from keras_unet3p.images import StoredValues, measure_values, pictures
from keras_unet3p.tiling import StreamingPredictor
from keras_unet3p.workflow import open_model


@pytest.fixture(scope="module")
def network():
    return models.unet(input_shape=(None, None, 1), num_classes=1, filters=2, depth=1)


@pytest.fixture(scope="module")
def whole_file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "whole.keras"
    network.save(path)
    return path


@pytest.fixture(scope="module")
def whole_export(network, tmp_path_factory):
    return export_savedmodel(network, tmp_path_factory.mktemp("models") / "cells", tile_size=32)


def _part_replaced(part, change):
    """A `.keras` archive, one part of it changed, or left out where `change` gives None."""

    def damage(source, target):
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
            for name in old.namelist():
                content = old.read(name)
                content = change(content) if name == part else content
                if content is not None:
                    new.writestr(name, content)

    return damage


def _bytes_changed(change):
    return lambda source, target: target.write_bytes(change(source.read_bytes()))


ESCAPE = b"Unknown\\u001b[31m"
DAMAGES = {
    "empty": _bytes_changed(lambda data: b""),
    "cut": _bytes_changed(lambda data: data[: len(data) // 2]),
    "zeros": _bytes_changed(lambda data: bytes(len(data))),
    "no JSON": _part_replaced("config.json", lambda part: b"{" + part),
    "other JSON": _part_replaced("config.json", lambda part: b"[]"),
    "unknown class": _part_replaced(
        "config.json", lambda part: part.replace(b"SegmentationModel", ESCAPE)
    ),
    "no configuration": _part_replaced("config.json", lambda part: None),
    "no weights": _part_replaced("model.weights.h5", lambda part: None),
    "cut weights": _part_replaced("model.weights.h5", lambda part: part[: len(part) // 2]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_keras_file_is_named_in_one_line(whole_file, tmp_path, damage):
    path = tmp_path / "cells.keras"
    DAMAGES[damage](whole_file, path)
    with pytest.raises(ValueError, match=r"cells\.keras cannot be loaded.*restore it") as raised:
        open_model(path)
    assert str(raised.value).isprintable()
    assert "instead" not in str(raised.value)
    shutil.copy(path, tmp_path / "last-epoch-0007.keras")
    with pytest.raises(ValueError, match=r"take \S*last-epoch-0007\.keras instead"):
        open_model(path)


@pytest.mark.parametrize("card", ["", "{", "[]", "{}", '"text"', "\udcff", "without geometry"])
def test_a_damaged_model_card_is_named_in_one_line(whole_export, tmp_path, card):
    version = tmp_path / "cells" / "1"
    shutil.copytree(whole_export, version)
    path = version / CARD_FILE
    if card == "without geometry":
        card = json.loads(path.read_text())
        card["geometry"].pop("tile")
        card = json.dumps(card)
    path.write_text(card, errors="surrogateescape")
    expected = r"model_card\.json is damaged .*; export the model again, or copy the folder anew$"
    for load in (open_model, StreamingPredictor):
        with pytest.raises(ValueError, match=expected) as raised:
            load(version.parent)
        assert str(raised.value).isprintable()


def test_a_damaged_export_is_named_in_one_line(whole_export, tmp_path):
    version = tmp_path / "cells" / "1"
    shutil.copytree(whole_export, version)
    graph = (version / "saved_model.pb").read_bytes()
    for damaged in (b"", graph[: len(graph) // 2], b"\xff" * 100):
        (version / "saved_model.pb").write_bytes(damaged)
        for load in (open_model, StreamingPredictor):
            with pytest.raises(
                ValueError, match=r"1 cannot be loaded as a SavedModel \("
            ) as raised:
                load(version.parent)
            assert str(raised.value).isprintable()


def test_an_export_of_another_program_is_refused_by_its_signatures(tmp_path):
    module = tf.Module()
    module.double = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec((), tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "1"), {"other": module.double})
    with pytest.raises(ValueError, match=r"no signature 'classes', only \['other'\]"):
        open_model(tmp_path)


def test_what_a_job_cannot_use_is_told_by_its_kind(whole_file, whole_export, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    for job, model, message in (
        (workflow.serve, tmp_path, "is a run folder; expected the folder of an exported model"),
        (workflow.serve, whole_file, r"is a \.keras file; expected the folder of an exported"),
        (lambda model: workflow.export(model, tmp_path / "a"), whole_file, r"is a \.keras file; "),
        (lambda model: workflow.export(model, tmp_path / "a"), whole_export, "is an exported mod"),
        (StreamingPredictor, "grpc://localhost:1/cells", "is an endpoint; give its client"),
    ):
        with pytest.raises(ValueError, match=message):
            job(model)


def test_every_reader_takes_the_same_models(run, exported):
    """The best model of a run, its file, and its export, the base folder or a version."""
    image = np.random.default_rng(0).integers(0, 255, (70, 50), np.uint8)
    unit = image[..., np.newaxis] / np.float32(255)
    for same in ((run, run / "best.keras"), (exported, exported.parent)):
        streamed = [StreamingPredictor(model, tile_size=64) for model in same]
        first, second = (each.predict(image, progress=False) for each in streamed)
        np.testing.assert_array_equal(first, second)
        for model in same:
            labels = open_model(model, tile_size=64).labels(unit)
            assert np.mean(labels != first) < 0.01


def test_a_local_endpoint_tells_the_model_card(network, tmp_path):
    cells, _ = data.generate_cells((64, 80), seed=0)
    (stored,) = StoredValues.of([measure_values(cells, "cells")])
    known = {"mask_kind": "binary", "separation": 2, "stored_values": [stored.to_dict()]}
    version = export_savedmodel(network, tmp_path / "cells", tile_size=32, training_metrics=known)
    plain = export_savedmodel(network, tmp_path / "plain", tile_size=32)
    (plain / CARD_FILE).unlink()
    dim = tmp_path / "images" / "dim.png"
    pictures.write_picture(dim, np.arange(64 * 80, dtype=np.uint16).reshape(64, 80) % 256)
    with LocalServer({"cells": version.parent, "plain": plain.parent}) as server:
        told = Client(server.url, "cells", version=1).card()
        assert told == json.loads((version / CARD_FILE).read_text())
        assert Client(server.url, "plain").card() is None
        assert Client(f"grpc://{server.grpc_address}", "cells").card() is None
        asked = open_model(f"{server.url}/cells")
        assert asked.normalization.stored_values == (stored,)
        assert (asked.mask_kind, asked.separation) == ("binary", 2)
        assert open_model(f"{server.url}/plain").normalization.stored_values == ()
        with pytest.raises(InputError, match="times dimmer than in training"):
            workflow.predict(f"{server.url}/cells", dim, out=tmp_path / "out")
        with pytest.warns(UserWarning, match="times dimmer than in training"):
            workflow.predict(f"{server.url}/cells", dim, out=tmp_path / "out", accept_values=True)
