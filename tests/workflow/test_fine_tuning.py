"""A run that begins with the weights of another network."""

import io
import json
import shutil

import keras
import numpy as np
import pytest
from rich.console import Console

from keras_unet3p import data, models, workflow
from keras_unet3p.artifacts import RunFolder
from keras_unet3p.config import TrainingConfig, read_run_file
from keras_unet3p.images import pictures
from keras_unet3p.workflow.starting_point import StartingPoint

OPTIONS = {"patch_size": 32, "batch_size": 2, "epochs": 1, "steps_per_epoch": 2}


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    """Other images: three channels, three classes, another brightness."""
    folder = tmp_path_factory.mktemp("colour")
    for number in range(3):
        image, labels = data.generate_cells((60, 76), seed=number)
        image = np.repeat(image[..., None] // 2, 3, axis=-1)
        pictures.write_picture(folder / "images" / f"{number}.png", image)
        mask = (labels > 0).astype(np.uint8) + (labels % 2)
        pictures.write_picture(folder / "masks" / f"{number}.png", mask.astype(np.uint8))
    return folder


def train(folder, out, mask_kind="auto", **options):
    said = io.StringIO()
    workflow.train(
        folder / "images",
        folder / "masks",
        TrainingConfig(**{**OPTIONS, **options}),
        out=out,
        mask_kind=mask_kind,
        console=Console(file=said, width=400),
    )
    return said.getvalue()


def weights_of(path, name):
    return keras.models.load_model(path, compile=False).get_layer(name).get_weights()


def test_a_run_takes_what_fits_says_so_and_goes_on_without_the_source(run, colour, tmp_path):
    source = shutil.copytree(run, tmp_path / "source")
    out = tmp_path / "tuned"
    said = train(colour, out, "classes", init=str(source))
    assert "; averaged over the image's channels: e1_1_conv; new: head (3 classes)" in said
    assert "normalisation: the new images' own" in said
    record = json.loads((out / "config.json").read_text())
    assert record["training"]["architecture"] == "unet3plus"
    assert (record["training"]["filters"], record["training"]["depth"]) == (4, 2)
    assert record["init"]["source"] == record["training"]["init"] == str(source)
    assert "mask_conv" in record["init"]["new"]
    assert record["data"]["normalization"]["mean"] != [0.0]
    assert read_run_file(out / "config.json").training["init"] == str(source)
    # Moved, it is the same network; another one in its place is not.
    moved = shutil.move(source, tmp_path / "moved")
    assert "took" not in train(colour, out, "classes", init=str(moved))
    now = json.loads((out / "config.json").read_text())
    assert now["init"] == {**record["init"], "source": str(moved)}
    assert now["training"] == {**record["training"], "init": str(moved)}
    other = shutil.copytree(moved, tmp_path / "other")
    with (other / "best.keras").open("ab") as file:
        file.write(b"trained further")
    with pytest.raises(ValueError, match=r"init = .*moved.*, asked for .*other"):
        train(colour, out, "classes", init=str(other))
    # The same call goes on, source or not.
    shutil.rmtree(moved)
    assert "took" not in train(colour, out, "classes", init=str(moved))
    assert json.loads((out / "config.json").read_text()) == now
    assert workflow.export(out, tmp_path / "model", tile_size=32).is_dir()


def test_a_frozen_encoder_keeps_weights_and_normalisation(run, cells, tmp_path):
    out = tmp_path / "frozen"
    said = train(cells, out, init=str(run / "best.keras"), freeze="encoder")
    assert "normalisation: that of the frozen layers" in said
    for name in ("e1_1_conv", "e1_1_bn", "e3_2_bn"):
        for one, other in zip(
            weights_of(out / "best.keras", name), weights_of(run / "best.keras", name), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    assert RunFolder(out).read_record().data.normalization == (
        RunFolder(run).read_record().data.normalization
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "unet"}, "architecture is 'unet', and the network of init has 'unet3pl"),
        ({"filters": 8}, "filters is 8, and the network of init has 4"),
        ({"depth": 3}, "depth is 3, and the network of init has 2"),
        ({"encoder": "vgg16"}, "encoder is 'vgg16', and the network of init has 'plain'"),
        ({"freeze": "x9"}, "no layer's name begins with 'x9'"),
        ({"padding": "valid"}, "padding: architecture 'unet3plus' has no such option"),
    ],
)
def test_a_contradiction_is_refused_by_name(run, cells, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        train(cells, tmp_path, init=str(run), **options)


def test_what_agrees_or_only_adds_heads_is_taken(run, tmp_path):
    config = TrainingConfig(
        init=str(run), architecture="unet3plus", filters=4, depth=2, classification_guided=True
    )
    start = StartingPoint.of(config, RunFolder(tmp_path))
    options = start.builder_options()
    assert options["classification_guided"]
    assert options["deep_supervision"]
    assert start.config.network_options()["filters"] == 4


def test_models_whose_weights_cannot_be_had_are_refused(exported, tmp_path):
    for init, message in (
        (exported, "folded into one.*Give the run or the .keras file"),
        ("http://localhost:1/cells", "is an endpoint, which gives masks and no weights"),
        (tmp_path / "nowhere", "is no run folder"),
    ):
        with pytest.raises(ValueError, match=message):
            StartingPoint.of(TrainingConfig(init=str(init)), RunFolder(tmp_path))
    keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(1, 1)]).save(
        tmp_path / "other.keras"
    )
    with pytest.raises(ValueError, match="does not tell its architecture"):
        StartingPoint.of(
            TrainingConfig(init=str(tmp_path / "other.keras")), RunFolder(tmp_path / "run")
        )


def test_options_that_no_configuration_has_are_the_networks_own(tmp_path):
    network = models.unet(
        (64, 64, 1), 2, filters=[2, 3], upsampling="bilinear", batch_norm="encoder", prefix="a_"
    )
    network.save(tmp_path / "own.keras")
    start = StartingPoint.of(TrainingConfig(init=str(tmp_path / "own.keras")), RunFolder(tmp_path))
    assert start.config.architecture == "unet"
    model = models.unet((None, None, 1), 2, **start.builder_options())
    assert not models.take_weights(model, network).new


def test_freezing_new_weights_is_refused():
    with pytest.raises(ValueError, match="freeze: new weights would stay as they were drawn"):
        TrainingConfig(freeze="encoder")
    with pytest.raises(ValueError, match="encoder_weights: init gives"):
        TrainingConfig(init="runs/a", encoder="vgg16", encoder_weights="imagenet")
    assert TrainingConfig(freeze="none").frozen_parts() == []
