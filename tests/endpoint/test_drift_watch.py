"""Client and endpoint say when images no longer are those of the training."""

from __future__ import annotations

import logging
import warnings

import cv2
import numpy as np
import pytest

import keras_unet3p as ku
from keras_unet3p.client import Client
from keras_unet3p.endpoint import LocalServer
from keras_unet3p.images import DriftMonitor, DriftWarning, MaskSpans, StoredValues


def cells(brightness: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(brightness, 10, (24, 30))
    return np.clip(noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    images = [cells(brightness, brightness) for brightness in range(90, 130, 2)]
    values = StoredValues.of([ku.images.measure_values(image, "image") for image in images])
    spans = MaskSpans(20, ((0.0, 1.0), (0.0, 1.0)), 0, None)
    model = ku.models.unet((None, None, 1), filters=4, depth=2)
    return ku.export.export_savedmodel(
        model,
        tmp_path_factory.mktemp("drift") / "cells",
        tile_size=32,
        training_metrics={
            "stored_values": [each.to_dict() for each in values],
            "mask_spans": spans.to_dict(),
        },
    )


@pytest.fixture
def server(version):
    with LocalServer({"cells": version.parent}) as running:
        yield running


@pytest.mark.parametrize("signature", ["serving_default", "classes"])
def test_the_client_warns_once(server, version, signature):
    monitor = DriftMonitor.of_card(version)
    with Client(server.url, "cells", drift=monitor) as client:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for seed in range(3):
                client.predict(cells(110, seed), signature)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for seed in range(15):
                client.predict(cells(10, seed), signature)
    medians = [each for each in told if "drift: medians of" in str(each.message)]
    assert [each.category for each in medians] == [DriftWarning]


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_the_endpoint_tells_it_in_its_log(server, caplog, scheme):
    url = server.url if scheme == "http" else f"grpc://{server.grpc_address}"
    encoded = cv2.imencode(".png", cells(10))[1].tobytes()
    with caplog.at_level(logging.WARNING), Client(url, "cells") as client:
        for _ in range(12):
            client.predict(cells(110))
        assert "drift" not in caplog.text
        for _ in range(20):
            client.predict_bytes(encoded)
            client.probabilities(cells(10))
            client.predict_tiles(np.zeros((1, 32, 32, 1), np.float32))  # no image: not counted
    told = [record.getMessage() for record in caplog.records if "drift" in record.getMessage()]
    assert len([text for text in told if "medians" in text]) == 1
    assert told[0].startswith("cells version 1: drift: ")


def test_a_card_that_cannot_be_read_does_not_keep_a_model_from_serving(version, tmp_path, caplog):
    import shutil

    shutil.copytree(version, tmp_path / "cells" / "1")
    card = tmp_path / "cells" / "1" / "assets.extra" / "model_card.json"
    card.write_text("{")
    with (
        caplog.at_level(logging.WARNING),
        LocalServer({"cells": tmp_path / "cells"}) as running,
        Client(running.url, "cells") as client,
    ):
        assert client.predict(cells(110)).shape == (24, 30)
    assert "drift is not watched" in caplog.text
