"""Golden pairs: a model that answers as it was exported passes, another one does not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from keras_unet3p import cli, export, models, workflow
from keras_unet3p.artifacts.golden_pairs import GOLDEN_FILE, GoldenPair, read_golden_pairs
from keras_unet3p.client.golden_check import GoldenDifference, golden_difference
from keras_unet3p.errors import InputError
from keras_unet3p.postprocessing import InstanceRule

SIGNATURES = [
    "classes",
    "instances",
    "instances_of_bytes",
    "probabilities",
    "probabilities_of_bytes",
    "serving_default",
    "tile",
]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Two versions of a model, whose weights differ."""
    folder = tmp_path_factory.mktemp("models") / "cells"
    told: list[list] = [[], []]
    for steps in told:
        network = models.unet(
            (None, None, 1),
            num_classes=2,
            filters=4,
            depth=2,
            classifier_activation="sigmoid",
            normalization={"mean": [0.5], "std": [0.25], "percentiles": [1.0, 99.8]},
        )
        export.export_savedmodel(
            network,
            folder,
            tile_size=64,
            instances=InstanceRule(),
            golden_pairs=True,
            progress=lambda *step, steps=steps: steps.append(step),
        )
    # Network, graph, and each signature once.
    assert told == [[(0, 9), (1, 9), (2, 9), *((done, 9) for done in range(2, 10))]] * 2
    return folder


@pytest.fixture(scope="module")
def server(cells):
    pytest.importorskip("uvicorn")
    from keras_unet3p.endpoint import LocalServer

    with LocalServer({"cells": cells}, port=0, grpc_port=0) as server:
        yield server


def test_an_exported_model_answers_as_it_did(cells):
    found = workflow.verify(cells / "1")
    assert [difference.signature for difference in found] == SIGNATURES
    assert all(difference.is_within(0.0, 0.0) for difference in found)


def test_the_pairs_take_several_tiles_and_find_something(cells):
    pairs = {pair.signature: pair for pair in read_golden_pairs(cells / "1")}
    assert len(pairs["serving_default"].input) == 1
    assert pairs["serving_default"].input[0].startswith(b"\x89PNG")
    assert pairs["instances"].output.shape == (1, 48, 64)
    assert np.ptp(pairs["probabilities"].output) > 0


def test_another_model_does_not_pass(cells):
    found = {each.signature: each for each in workflow.verify(cells / "2", cells / "1")}
    assert not found["probabilities"].is_within(1e-3, 1e-3)
    assert not found["tile"].is_within(1e-3, 1e-3)


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_an_endpoint_is_asked_for_the_version_of_the_pairs(cells, server, kind):
    address = server.url if kind == "http" else f"grpc://{server.grpc_address}"
    found = workflow.verify(f"{address}/cells", cells)
    assert [difference.signature for difference in found] == SIGNATURES
    assert all(difference.is_within(1e-6, 0.0) for difference in found)


def test_an_endpoint_without_that_version_does_not_pass(cells, server):
    found = workflow.verify(f"{server.url}/cells", cells / "1")
    assert {"NOT_FOUND" in str(difference.problem) for difference in found} == {True}
    assert not any(difference.is_within(1.0, 1.0) for difference in found)


def test_the_command_tells_by_its_exit_code(cells):
    same = CliRunner().invoke(cli.app, ["verify", str(cells / "1")])
    assert same.exit_code == 0, same.output
    other = CliRunner().invoke(cli.app, ["verify", str(cells / "2"), "--golden", str(cells / "1")])
    assert other.exit_code == 1
    assert "differs" in other.output


def test_what_cannot_be_verified(cells, tmp_path):
    with pytest.raises(InputError, match="is an endpoint, which does not show its files"):
        workflow.verify("http://localhost:1/cells")
    with pytest.raises(InputError, match="is a preset; expected an exported model or an endpoint"):
        workflow.verify("nuclei")
    with pytest.raises(InputError, match="golden: nuclei is a preset; expected an exported model"):
        workflow.verify(cells, "nuclei")
    (tmp_path / "1" / "assets.extra").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no golden pairs"):
        read_golden_pairs(tmp_path / "1")
    whole = (cells / "1" / GOLDEN_FILE).read_bytes()
    (tmp_path / "1" / GOLDEN_FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"golden_pairs\.npz is damaged"):
        read_golden_pairs(tmp_path / "1")


def _instances(right, found):
    pair = GoldenPair("instances", "image", "instance_ids", np.zeros(1), np.array([right]))
    return golden_difference(pair, np.array([found])).pixels


@pytest.mark.parametrize(
    ("found", "share"),
    [
        ([0, 5, 5, 9, 9, 0], 0.0),  # other numbers
        ([0, 1, 1, 1, 1, 0], 2 / 6),  # merged
        ([0, 1, 3, 2, 2, 0], 1 / 6),  # split
        ([0, 1, 1, 0, 0, 0], 2 / 6),  # missed
        ([3, 1, 1, 2, 2, 0], 1 / 6),  # invented
    ],
)
def test_instances_are_compared_up_to_their_numbers(found, share):
    assert _instances([0, 1, 1, 2, 2, 0], found) == pytest.approx(share)


def test_probabilities_of_bytes_may_round_the_other_way():
    def rows(levels):
        return np.array([[cv2.imencode(".png", np.full((4, 5), levels, np.uint8))[1].tobytes()]])

    pair = GoldenPair(
        "probabilities_of_bytes",
        "image_bytes",
        "probability_bytes",
        np.zeros(1),
        rows(100).astype(object),
    )
    assert golden_difference(pair, rows(101).astype(object)).probability == 0.0
    assert golden_difference(pair, rows(97).astype(object)).probability == 2 / 255


def test_answers_that_cannot_be_compared_do_not_pass():
    pair = GoldenPair("tile", "inputs", "probabilities", np.zeros(1), np.zeros((1, 2), np.float32))
    assert "shape (1, 3)" in str(golden_difference(pair, np.zeros((1, 3))).problem)
    nothing = golden_difference(pair, np.full((1, 2), np.nan, np.float32))
    assert not nothing.is_within(1.0, 1.0)
    assert GoldenDifference("tile", probability=0.5).is_within(0.5, 0.0)
