"""An exported network behind the endpoint gives what the network gives."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from keras_unet3p.client import Client
from keras_unet3p.endpoint import LocalServer
from keras_unet3p.tiling import TileGeometry


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    from keras_unet3p import export, models

    model = models.unet(input_shape=(None, None, 1), filters=(4, 8, 8), padding="same")
    base = tmp_path_factory.mktemp("exported") / "cells"
    folder = export.export_savedmodel(model, base, tile_size=64)
    return model, base, json.loads((folder / "assets.extra" / "model_card.json").read_text())


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_every_way_gives_the_networks_answer(exported, scheme):
    from keras_unet3p import tiling

    model, base, card = exported
    geometry = TileGeometry.from_dict(card["geometry"])
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (101, 157), np.uint8), (0, 0), 2)
    expected = tiling.predict_image(model, image, geometry=geometry)
    # Half of the pixels on either side of the threshold, or the comparison would say little.
    threshold = card["threshold"]
    mask = (expected[..., 0] >= threshold).astype(np.uint8)
    undecided = np.abs(expected[..., 0] - threshold) < 1e-4
    with LocalServer({"cells": base}) as server:
        url = server.url if scheme == "http" else f"grpc://{server.grpc_address}"
        with Client(url, "cells") as client:
            found = client.probabilities(image)
            np.testing.assert_allclose(found, expected, atol=1e-4)
            small = client.probabilities(image, compressed=True)
            assert small.dtype == np.float32
            np.testing.assert_allclose(small, found, atol=0.5 / 255 + 1e-6)
            large = client.predict_large(image, geometry=geometry, kind="probabilities")
            np.testing.assert_allclose(large, expected, atol=1e-4)
            answers = [client.predict(image), client.predict(image, "classes")]
            answers.append(client.predict_large(image, geometry=geometry, threshold=threshold))
            for answer in answers:
                assert ((answer == mask) | undecided).all()
            colour = np.dstack([image] * 3)
            assert (client.predict(colour) == answers[0]).mean() > 0.99
