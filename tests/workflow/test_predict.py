"""Masks of image files, from every kind of model."""

import cv2
import numpy as np
import pytest
import tifffile

from keras_unet3p import data, pictures, workflow
from keras_unet3p.endpoint import LocalServer


@pytest.fixture
def image(tmp_path):
    pixels, _ = data.generate_cells((97, 131), seed=5)
    path = tmp_path / "odd.png"
    pictures.write_picture(path, pixels)
    return path


def _read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_run_model_file_export_and_endpoint_agree(run, exported, image, tmp_path):
    with LocalServer({"cells": exported.parent}) as server:
        models = {
            "run": run,
            "file": run / "best.keras",
            "export": exported.parent,
            "version": exported,
            "rest": f"{server.url}/cells",
            "rest without a name": server.url,
            "grpc": f"grpc://{server.grpc_address}/cells",
        }
        masks = {}
        for name, model in models.items():
            (written,) = workflow.predict(model, image, out=tmp_path / name, tile_size=64)
            assert written == tmp_path / name / "odd.png"
            masks[name] = _read(written)
    assert masks["run"].shape == (97, 131)
    assert set(np.unique(masks["run"])) <= {0, 255}
    for name, mask in masks.items():
        assert np.mean(mask != masks["run"]) < 1e-3, name


def test_folders_stacks_and_overlays(run, tmp_path):
    folder = tmp_path / "images"
    frames = [data.generate_cells((40, 50), seed=n)[0] for n in range(3)]
    folder.mkdir()
    tifffile.imwrite(folder / "film.tif", np.stack(frames), photometric="minisblack")
    pictures.write_picture(folder / "one.png", frames[0])
    written = workflow.predict(run, folder, out=tmp_path / "out", tile_size=64)
    assert [path.name for path in written] == [
        "film_000.png",
        "film_001.png",
        "film_002.png",
        "one.png",
    ]
    np.testing.assert_array_equal(_read(written[0]), _read(written[-1]))
    assert _read(tmp_path / "out" / "overlays" / "one.png").shape == (40, 50, 3)
    workflow.predict(run, folder, out=tmp_path / "plain", overlays=False, tile_size=64)
    assert not (tmp_path / "plain" / "overlays").exists()


def test_channels_that_do_not_fit_are_refused_by_file(run, tmp_path):
    pictures.write_picture(
        tmp_path / "colour.png", np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    )
    with pytest.raises(
        ValueError, match=r"colour\.png: 3 channels; the model was trained on images of 1"
    ):
        workflow.predict(run, tmp_path / "colour.png", out=tmp_path / "out")


def test_two_images_of_one_name_are_refused(run, tmp_path):
    for suffix in (".png", ".bmp"):
        pictures.write_picture(tmp_path / f"a{suffix}", np.zeros((40, 40), np.uint8))
    with pytest.raises(ValueError, match="share the stem 'a'"):
        workflow.predict(run, tmp_path, out=tmp_path / "out")
