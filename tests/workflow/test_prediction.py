"""Masks of image files, from every kind of model."""

import json
import sys

import cv2
import numpy as np
import pytest
import tifffile

from keras_unet3p import data, models, workflow
from keras_unet3p.endpoint import LocalServer
from keras_unet3p.images import Normalization, ValuesWarning, pictures
from keras_unet3p.workflow import Predictor, open_model, prediction
from keras_unet3p.workflow.predictor import unit_values


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


@pytest.mark.parametrize("single", [False, True])
def test_a_mask_does_not_take_the_place_of_its_image(run, image, single):
    before = image.read_bytes()
    with pytest.raises(ValueError, match="take the place of the image"):
        workflow.predict(run, image if single else image.parent, out=image.parent)
    assert image.read_bytes() == before
    assert [path.name for path in image.parent.iterdir()] == [image.name]


@pytest.mark.parametrize(("num_classes", "value"), [(1, 255), (3, 1), (None, 1)])
def test_ids_of_several_classes_stay_what_they_are(
    image, tmp_path, monkeypatch, num_classes, value
):
    """In an image that lacks the higher classes too."""
    predictor = Predictor(lambda x: np.ones(x.shape[:2], np.uint8), 1, unit_values(1), num_classes)
    monkeypatch.setattr(prediction, "open_model", lambda *_, **__: predictor)
    (written,) = workflow.predict("model", image, out=tmp_path / "out")
    np.testing.assert_array_equal(np.unique(_read(written)), value)


def test_the_rule_for_stored_values_goes_with_every_kind_of_model(tmp_path, quiet, least):
    """Floats beyond [0, 1]: an image alone may look as if another rule were meant."""
    for number in range(4):
        pixels, labels = data.generate_cells((40, 40), seed=number)
        (tmp_path / "images").mkdir(exist_ok=True)
        np.save(tmp_path / "images" / f"{number}.npy", pixels.astype(np.float32) * 3 - 300)
        pictures.write_picture(tmp_path / "masks" / f"{number}.png", labels.astype(np.uint16))
    run = tmp_path / "run"
    options = {**least, "epochs": 1, "steps_per_epoch": 1}
    workflow.train(
        tmp_path / "images",
        tmp_path / "masks",
        out=run,
        config=workflow.TrainingConfig(**options),
        console=quiet,
    )
    assert open_model(run).normalization.value_scale == "raw"
    exported = workflow.export(run, tmp_path / "models" / "m", tile_size=64)
    for model in (run / "best.keras", exported):
        predictor = open_model(model)
        assert predictor.normalization.value_scale == "raw"
        assert predictor.mask_kind == "instances"
        assert predictor.separation == open_model(run).separation
    (run / "best.keras").rename(tmp_path / "alone.keras")
    alone, exported = open_model(tmp_path / "alone.keras"), open_model(exported)
    config = json.loads((run / "config.json").read_text())["data"]["normalization"]
    assert alone.normalization == Normalization.from_dict(config)
    assert alone.normalization.value_scale == "raw"
    (stored,) = alone.normalization.stored_values
    assert exported.normalization.stored_values == (stored,)
    assert (stored.dtype, stored.images) == ("float32", 3)
    assert -300 <= stored.low[0] < stored.median[0] < stored.high[1] <= 465


def test_a_model_that_does_not_tell_its_rule_guesses_none(tmp_path):
    model = models.unet(input_shape=(None, None, 1), filters=2, depth=1, normalization=(0.1, 0.2))
    model.save(tmp_path / "alone.keras")
    np.save(tmp_path / "image.npy", np.full((40, 40), 200, np.float32))
    with pytest.raises(ValueError, match=r"image\.npy.* expected values within \[0, 1\]"):
        workflow.predict(tmp_path / "alone.keras", tmp_path / "image.npy", out=tmp_path / "out")


def test_images_of_another_depth_are_refused_before_any_mask_is_written(
    run, exported, cells, tmp_path
):
    images = tmp_path / "images"
    for path in (cells / "images").iterdir():
        pictures.write_picture(images / path.name, _read(path).astype(np.uint16) * 16)
    alone = tmp_path / "alone.keras"
    alone.write_bytes((run / "best.keras").read_bytes())
    for model in (run, alone, exported):
        with pytest.raises(
            ValueError, match=r"dimmer than in training: uint16 values from .* uint8"
        ):
            workflow.predict(model, images, out=tmp_path / "out")
        assert not list((tmp_path / "out").iterdir())
        with pytest.raises(ValueError, match="dimmer than in training: uint16"):
            workflow.evaluate(model, images, cells / "masks")
    with pytest.warns(ValuesWarning, match="dimmer than in training"):
        (written,) = workflow.predict(
            run, images / "cell_0.png", out=tmp_path / "out", tile_size=64, accept_values=True
        )
    assert written.is_file()


def test_images_beyond_the_limits_are_refused_by_file(run, cells, image, tmp_path):
    with pytest.raises(ValueError, match=r"odd\.png: an image of 97 x 131"):
        workflow.predict(run, image, out=tmp_path / "out", max_pixels=10_000)
    tifffile.imwrite(tmp_path / "film.tif", np.zeros((3, 40, 50), np.uint8), photometric=1)
    with pytest.raises(ValueError, match=r"film\.tif: holds at least 3 images"):
        workflow.predict(run, tmp_path / "film.tif", out=tmp_path / "out", max_pages=2)
    for job in (
        lambda **limits: workflow.evaluate(run, cells / "images", cells / "masks", **limits),
        lambda **limits: workflow.train(
            cells / "images", cells / "masks", out=tmp_path / "run", **limits
        ),
    ):
        with pytest.raises(ValueError, match=r"cell_0\.png: an image of 60 x 76"):
            job(max_pixels=1000)


def test_channels_that_do_not_fit_are_refused_by_file(run, tmp_path):
    pictures.write_picture(
        tmp_path / "colour.png", np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    )
    with pytest.raises(
        ValueError, match=r"colour\.png: 3 channels; the model was trained on images of 1"
    ):
        workflow.predict(run, tmp_path / "colour.png", out=tmp_path / "out")


@pytest.fixture
def bright(monkeypatch):
    """In the place of every model: class 1 where an image is brighter than a half."""
    predictor = Predictor(
        lambda image: (image[..., 0] > 0.5).astype(np.uint8), 1, unit_values(1), 1
    )
    monkeypatch.setattr(prediction, "open_model", lambda *_, **__: predictor)


def _unreachable(*_, **__):
    raise AssertionError("work began")


def test_grey_that_is_stored_as_a_colour_is_grey(run, image, tmp_path):
    (tmp_path / "images").mkdir()
    for name, channels in (("grey", 1), ("rgb", 3), ("rgba", 4)):
        stored = np.repeat(_read(image)[..., np.newaxis], channels, -1)
        stored[..., 3:] = 255
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), stored)
    workflow.predict(run, tmp_path / "images", out=tmp_path / "masks", overlays=False)
    masks = [_read(tmp_path / "masks" / f"{name}.png") for name in ("grey", "rgb", "rgba")]
    np.testing.assert_array_equal(masks[1], masks[0])
    np.testing.assert_array_equal(masks[2], masks[0])


def test_masks_of_one_name_are_refused_before_the_work_begins(tmp_path, monkeypatch):
    predictor = Predictor(_unreachable, 1, unit_values(1))
    monkeypatch.setattr(prediction, "open_model", lambda *_, **__: predictor)
    folder = tmp_path / "images"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", np.zeros((2, 40, 50), np.uint8), photometric="minisblack")
    pictures.write_picture(folder / "a_000.png", np.zeros((40, 50), np.uint8))
    with pytest.raises(ValueError, match=r"a\.tif, \S*a_000\.png: share the name 'a_000'"):
        workflow.predict("model", folder, out=tmp_path / "out")
    (folder / "a_000.png").rename(folder / "A_000.PNG")
    monkeypatch.setattr(prediction, "ignores_case", lambda folder: True)
    with pytest.raises(ValueError, match=r"A_000\.PNG, \S*a\.tif: their masks would be one file"):
        workflow.predict("model", folder, out=tmp_path / "out")


def test_an_output_that_is_a_file_is_refused_before_the_model_is_loaded(image, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match=r"out: \S*file is a file"):
        workflow.predict(tmp_path / "no model", image, out=tmp_path / "file")


def test_names_at_the_limit_and_foreign_ones_keep_their_masks(bright, tmp_path):
    frames = np.stack([np.full((40, 50), value, np.uint8) for value in (0, 255, 0)])
    folder = tmp_path / "images"
    folder.mkdir()
    names = ["n" * 251, "n" * 250 + "m", "line\nbreak"]
    if sys.platform == "linux":
        names.append("\udcff")
    for name in names:
        tifffile.imwrite(folder / "t", frames, photometric="minisblack")
        (folder / "t").rename(folder / f"{name}.tif")
    written = workflow.predict("model", folder, out=tmp_path / "out")
    assert len(set(written)) == 3 * len(names)
    assert tmp_path / "out" / "line\nbreak_002.png" in written
    for number, path in enumerate(written):
        assert path.name.endswith(f"_{number % 3:03d}.png")
        assert (tmp_path / "out" / "overlays" / path.name).is_file()
        mask = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        assert (mask == frames[number % 3]).all()


def test_two_images_of_one_name_are_refused(run, tmp_path):
    for suffix in (".png", ".bmp"):
        pictures.write_picture(tmp_path / f"a{suffix}", np.zeros((40, 40), np.uint8))
    with pytest.raises(ValueError, match="share the stem 'a'"):
        workflow.predict(run, tmp_path, out=tmp_path / "out")
