"""Two models against each other."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from keras_unet3p import cli, data, workflow
from keras_unet3p.endpoint import LocalServer
from keras_unet3p.images import pictures


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    ramp = np.tile(np.arange(250, dtype=np.uint8), (40, 1))
    pictures.write_picture(folder / "ramp.png", ramp)
    pictures.write_picture(folder / "dark.png", ramp // 8)
    return folder


@pytest.fixture(scope="module")
def labelled(model_versions, tmp_path_factory):
    """An endpoint whose label "stable" is a threshold of 128, and "canary" of 64."""
    folder = tmp_path_factory.mktemp("models")
    for number, version in enumerate(model_versions, start=1):
        (folder / "cells").mkdir(exist_ok=True)
        (folder / "cells" / str(number)).symlink_to(version)
    config = folder / "models.config"
    config.write_text(
        """model_config_list { config {
            name: "cells" base_path: "cells" model_platform: "tensorflow"
            model_version_policy { all {} }
            version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }
        } }"""
    )
    with LocalServer(config) as server:
        yield server


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_two_labels_of_an_endpoint(labelled, images, tmp_path, scheme):
    server = labelled.url if scheme == "http" else f"grpc://{labelled.grpc_address}"
    models = [f"{server}/cells/labels/{label}" for label in ("stable", "canary")]
    rows = workflow.compare(*models, images, out=tmp_path)
    assert [row.name for row in rows] == ["ramp", "dark"], "the largest disagreement first"
    assert [row.pixels for row in rows] == [64 / 250, 0.0]
    assert rows[0].agreement is None
    with (tmp_path / "comparison.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["ramp", "dark"]
    picture = cv2.imread(str(tmp_path / "pictures" / "0000_ramp.png"))
    last = picture[pictures.CAPTION_HEIGHT :, -250:]
    assert (last[20, 70:120] == last[20, 70]).all(), "the pixels that differ in one colour"
    assert (last[20, 200:] != last[20, 70]).any()
    by_version = [f"{server}/cells/versions/{number}" for number in (1, 2)]
    assert workflow.compare(*by_version, images) == rows


def test_objects_are_compared_where_both_number_them(tmp_path):
    image, _ = data.generate_cells((96, 112), seed=1)
    pictures.write_picture(tmp_path / "images" / "cells.png", image)
    (row,) = workflow.compare("nuclei", "nuclei", tmp_path / "images", tile_size=128)
    predictor = workflow.open_model("nuclei", tile_size=128)
    count = predictor.instances(image[..., None]).max()
    assert row == workflow.Disagreement("cells", 0.0, 1.0, count, count)


def test_pictures_of_an_earlier_comparison_go_and_other_files_stay(labelled, images, tmp_path):
    models = [f"{labelled.url}/cells/labels/{label}" for label in ("stable", "canary")]
    workflow.compare(*models, images, out=tmp_path)
    (tmp_path / "pictures" / "mine.png").write_bytes(b"kept")
    workflow.compare(*models, images / "dark.png", out=tmp_path)
    assert {file.name for file in (tmp_path / "pictures").iterdir()} == {
        "0000_dark.png",
        "mine.png",
    }


def test_grey_stored_as_colour_and_other_values_are_seen_as_in_predict(tmp_path):
    image, _ = data.generate_cells((64, 80), seed=1)
    pictures.write_picture(tmp_path / "grey" / "cells.png", image)
    pictures.write_picture(tmp_path / "colour" / "cells.png", np.dstack([image] * 3))
    rows = [workflow.compare("nuclei", "nuclei", tmp_path / name) for name in ("grey", "colour")]
    assert rows[0] == rows[1]
    pictures.write_picture(tmp_path / "red" / "cells.png", np.dstack([image, image * 0, image * 0]))
    with pytest.raises(ValueError, match=r"cells\.png: 3 channels; the model was trained on"):
        workflow.compare("nuclei", "nuclei", tmp_path / "red")
    cv2.imwrite(str(tmp_path / "deep.png"), image.astype(np.uint16) * 4)
    with pytest.raises(ValueError, match="accept_values"):
        workflow.compare("nuclei", "nuclei", tmp_path / "deep.png")


def test_the_command_and_its_exit_code(labelled, images):
    stable, canary = (f"{labelled.url}/cells/labels/{name}" for name in ("stable", "canary"))
    command = ["compare", stable, canary, "--images", str(images)]
    for options, code in (([], 0), (["--fail-above", "0.2"], 0), (["--fail-above", "0.1"], 1)):
        ran = CliRunner().invoke(cli.app, [*command, *options])
        assert ran.exit_code == code, ran.output
        assert "2 images, 12.8000% of the pixels differ" in ran.output


def test_pictures_do_not_take_the_place_of_images(images):
    with pytest.raises(ValueError, match="out: the pictures would be written into"):
        workflow.compare("nuclei", "nuclei", images / "pictures", out=images)
