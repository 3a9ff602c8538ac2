"""Training from folders."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from keras_unet3p import data, training, workflow
from keras_unet3p.artifacts import History
from keras_unet3p.config import ARCHITECTURES, LOSSES, TrainingConfig
from keras_unet3p.images import Normalization, pictures, read_labels, write_labels
from keras_unet3p.training import saved_averages
from keras_unet3p.workflow import open_model
from keras_unet3p.workflow.networks import build_model


def test_a_run_folder_holds_all_that_the_readme_says(run, small):
    history = History(run / "history.csv", "val_dice")
    assert [row["epoch"] for row in history.rows] == [1, 2]
    assert {"loss", "dice", "val_loss", "val_dice", "val_iou", "seconds"} <= set(history.rows[0])
    assert (run / "last-epoch-0002.keras").exists()
    assert isinstance(keras.models.load_model(run / "best.keras"), keras.Model)
    assert list((run / "tensorboard" / "overlays").iterdir())
    assert list((run / "validation" / "pictures").glob("*.png"))
    config = json.loads((run / "config.json").read_text())
    assert config["training"]["patch_size"] == small["patch_size"]
    assert config["data"]["mask_kind"] == "instances"
    assert not set(config["data"]["training_names"]) & set(config["data"]["validation_names"])


def test_the_networks_first_layer_normalises_as_the_training_images_need_it(run, cells):
    config = json.loads((run / "config.json").read_text())
    folder = data.open_images(cells / "images", cells / "masks")
    names = config["data"]["training_names"]
    pixels = np.concatenate([s.image.ravel() for s in folder if s.name in names])
    saved = config["data"]["normalization"]
    np.testing.assert_allclose(saved["mean"], [pixels.mean()], rtol=1e-4)
    np.testing.assert_allclose(saved["std"], [pixels.std()], rtol=1e-4)
    layers = [
        layer
        for layer in keras.models.load_model(run / "best.keras").layers
        if type(layer).__name__ == "IntensityNormalization"
    ]
    assert len(layers) == 1


def test_other_options_do_not_continue_a_run(run, cells, quiet, small):
    with pytest.raises(ValueError, match="filters = 4, asked for 6"):
        workflow.train(
            cells / "images",
            cells / "masks",
            out=run,
            config=TrainingConfig(**{**small, "filters": 6}),
            console=quiet,
        )


def test_a_run_and_its_data_may_move(least_run, cells, tmp_path, quiet, least):
    moved, run = tmp_path / "data", tmp_path / "elsewhere"
    shutil.copytree(cells, moved)
    shutil.copytree(least_run, run)
    config = TrainingConfig(**{**least, "epochs": 3})
    workflow.train(moved / "images", moved / "masks", out=run, config=config, console=quiet)
    assert len(History(run / "history.csv", "val_dice").rows) == 3
    record = json.loads((run / "config.json").read_text())
    assert record["data"]["images"] == str(moved / "images")
    other = tmp_path / "other"
    shutil.copytree(moved / "masks", other)
    mask = next(other.iterdir())
    write_labels(mask, np.where(read_labels(mask)[0] == 1, 0, read_labels(mask)[0]))
    with pytest.raises(ValueError, match=r"masks = .*, asked for .*other"):
        workflow.train(moved / "images", other, out=run, config=config, console=quiet)


def test_a_finished_run_goes_on_with_more_epochs_and_then_with_hours(
    least_run, cells, tmp_path, quiet, least
):
    copied = shutil.copytree(least_run, tmp_path / "copied")

    def train(**options):
        config = TrainingConfig(**{**least, **options})
        workflow.train(cells / "images", cells / "masks", out=copied, config=config, console=quiet)
        return History(copied / "history.csv", "val_dice").rows

    first = History(copied / "history.csv", "val_dice").rows
    assert first[-1]["progress"] == 1
    with pytest.raises(ValueError, match=r"learning_rate = 0\.001, asked for 0.1"):
        train(epochs=3, learning_rate=0.1)
    assert json.loads((copied / "config.json").read_text())["training"]["epochs"] == 2
    rows = train(epochs=3)
    assert (rows[:2], len(rows), rows[-1]["progress"]) == (first, 3, 1)
    assert json.loads((copied / "config.json").read_text())["training"]["epochs"] == 3
    with pytest.raises(ValueError, match="epochs = 3, asked for 2"):
        train(epochs=2)
    # Time that is used up already.
    assert train(epochs=3, hours=1e-6) == rows
    hours = (sum(row["seconds"] for row in rows) + rows[-1]["seconds"]) / 3600
    longer = train(epochs=3, hours=hours)
    assert len(longer) > 3
    assert longer[-1]["hours"] == hours
    with pytest.raises(ValueError, match=r"hours = .*, asked for None"):
        train(epochs=3)


def test_the_network_that_is_used_has_the_averaged_weights(run):
    best = History(run / "history.csv", "val_dice").best()
    averages = saved_averages.read(run / f"last-epoch-{int(best['epoch']):04d}.keras")
    weights = keras.models.load_model(run / "best.keras").get_weights()
    weights = [value for value in weights if value.dtype.kind == "f"]
    for value, expected in zip(weights, averages, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_patches_that_do_not_fit_the_network_are_refused_before_training(
    cells, tmp_path, quiet, small
):
    config = TrainingConfig(**{**small, "patch_size": 33})
    with pytest.raises(ValueError, match="nearest that do are 32 and 36"):
        workflow.train(
            cells / "images", cells / "masks", out=tmp_path, config=config, console=quiet
        )
    assert not list(tmp_path.glob("*.keras"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation_images": "somewhere"}, "go together"),
        (
            {"config": TrainingConfig(encoder="vgg16", encoder_weights="nowhere.h5")},
            r"encoder_weights: nowhere\.h5 is no file",
        ),
    ],
)
def test_bad_arguments_are_refused_before_a_file_is_read(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        workflow.train(tmp_path / "none", tmp_path / "none", out=tmp_path / "run", **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options",
    [
        {"architecture": "unet", "padding": "valid", "patch_size": 44, "loss": "dice"},
        {"architecture": "unet", "loss": "weighted_cross_entropy", "contiguous_validation": True},
        {"classification_guided": True, "border_weights": False, "augment": False},
    ],
    ids=["valid unet", "same unet", "classification-guided"],
)
def test_other_networks_and_losses_train(cells, tmp_path, quiet, small, options):
    settings = {**small, "epochs": 1, "steps_per_epoch": 2, **options}
    best = workflow.train(
        cells / "images",
        cells / "masks",
        out=tmp_path,
        config=TrainingConfig(**settings),
        console=quiet,
    )
    assert best.exists()
    row = History(tmp_path / "history.csv", "val_dice").rows[0]
    assert np.isfinite(row["loss"])
    assert 0 <= row["val_dice"] <= 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("encoder", ["plain", "mobilenet_v2"])
def test_every_architecture_and_an_encoder_build(architecture, encoder):
    filters = None if architecture == "fcn" and encoder != "plain" else 4
    config = TrainingConfig(
        architecture=architecture, encoder=encoder, filters=filters, patch_size=64
    )
    model = build_model(config, 2, 3, Normalization((0.5, 0.5), (0.2, 0.2)))
    assert model(np.zeros((1, 64, 64, 2), np.float32)).shape == (1, 64, 64, 3)


def test_an_architecture_stays_what_it_is_where_nothing_is_chosen():
    """The U-Net paper's network has no batch normalisation."""
    options = {"architecture": "unet", "filters": 2, "patch_size": 64}
    for chosen, expected in ((None, False), (False, False), (True, True)):
        model = build_model(TrainingConfig(**options, batch_norm=chosen), 1, 1, None)
        kinds = {type(layer).__name__ for layer in model.layers}
        assert ("BatchNormalization" in kinds) == expected


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_compiles(loss):
    config = TrainingConfig(architecture="unet", filters=2, depth=1, patch_size=32, loss=loss)
    model = build_model(config, 1, 1, None)
    assert type(model.loss).__name__ == LOSSES[loss]


def test_weights_of_an_encoder_bring_their_own_normalisation(tmp_path):
    ready = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )
    ready.save_weights(tmp_path / "mobilenet.weights.h5")
    config = TrainingConfig(
        encoder="mobilenet_v2",
        encoder_weights=str(tmp_path / "mobilenet.weights.h5"),
        filters=4,
        patch_size=64,
    )
    model = build_model(config, 3, 1, Normalization((0.5,) * 3, (0.2,) * 3))
    assert model(np.zeros((1, 64, 64, 3), np.float32)).shape == (1, 64, 64, 1)
    with pytest.raises(ValueError, match="unit values"):
        build_model(config, 3, 1, Normalization((0.5,) * 3, (0.2,) * 3, "raw"))


def test_the_policy_of_a_run_is_the_runs_alone(cells, tmp_path, quiet, least):
    options = {**least, "epochs": 1, "steps_per_epoch": 1, "mixed_precision": "mixed_bfloat16"}
    best = workflow.train(
        cells / "images",
        cells / "masks",
        out=tmp_path,
        config=TrainingConfig(**options),
        console=quiet,
    )
    kinds = {layer.compute_dtype for layer in keras.models.load_model(best).layers}
    assert "bfloat16" in kinds
    assert keras.mixed_precision.global_policy().name == "float32"


def test_several_classes_train_and_their_ids_come_out(tmp_path, quiet, least):
    rng = np.random.default_rng(0)
    for number in range(4):
        mask = np.zeros((40, 40), np.uint8)
        mask[5:20, 5:35], mask[22:36, 5:35] = 1, 2
        image = (mask * 90 + rng.integers(0, 40, mask.shape)).astype(np.uint8)
        pictures.write_picture(tmp_path / "images" / f"{number}.png", image)
        pictures.write_picture(tmp_path / "masks" / f"{number}.png", mask)
    workflow.train(
        tmp_path / "images",
        tmp_path / "masks",
        out=tmp_path / "run",
        console=quiet,
        classes=["background", "upper", "lower"],
        mask_kind="classes",
        config=TrainingConfig(
            **{**least, "epochs": 3, "steps_per_epoch": 12, "filters": 6, "learning_rate": 1e-2}
        ),
    )
    assert workflow.open_model(tmp_path / "run").class_names == ("background", "upper", "lower")
    # A folder that lacks a class is judged as what the network was trained on all the same.
    mask = np.zeros((40, 40), np.uint8)
    mask[5:20, 5:35] = 1
    pictures.write_picture(tmp_path / "one" / "0.png", mask)
    pictures.write_picture(tmp_path / "image" / "0.png", mask * np.uint8(90))
    for images, masks in (("images", "masks"), ("image", "one")):
        report = workflow.evaluate(tmp_path / "run", tmp_path / images, tmp_path / masks)
        assert report.mask_kind == "classes"
        assert "dice_2" in report.overall
        if images == "images":
            assert report.overall["dice"] > 0.6


def test_a_run_killed_by_the_system_continues(cells, tmp_path, quiet):
    command = [sys.executable, "-m", "keras_unet3p", "train"]
    command += ["--images", cells / "images", "--masks", cells / "masks", "--out", tmp_path / "run"]
    command += ["--architecture", "unet", "--filters", "2", "--depth", "1"]
    command += ["--patch-size", "32", "--batch-size", "2"]
    command += ["--epochs", "3", "--steps-per-epoch", "3", "--no-augment"]
    command = [str(part) for part in command]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while not (tmp_path / "run" / "last-epoch-0001.keras").exists():
        assert process.poll() is None, process.communicate()[1].decode()[-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGSTOP)
    # Suspended, it would go on with what it knows: nobody else may change the folder meanwhile.
    expected = rf"run folder \S+run is in use by process {process.pid} on "
    with pytest.raises(ValueError, match=expected):
        workflow.train(cells / "images", cells / "masks", out=tmp_path / "run", console=quiet)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    leftovers = [
        tmp_path / "run" / folder / ".unfinished-x" for folder in ("", "validation", "own")
    ]
    for leftover in leftovers:
        leftover.mkdir(parents=True)
    done = len(History(tmp_path / "run" / "history.csv", "val_dice").rows)
    first = History(tmp_path / "run" / "history.csv", "val_dice").rows[0]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
    rows = History(tmp_path / "run" / "history.csv", "val_dice").rows
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[0] == first, "the first epoch was trained again"
    assert done < 3 or "epoch" not in finished.stdout
    # What is not the training's own stays.
    assert [leftover.exists() for leftover in leftovers] == [False, False, True]
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_training_that_diverges_ends_with_an_error_and_no_model(cells, tmp_path, quiet):
    with pytest.raises(
        ValueError, match=r"^the loss is (nan|inf) at step \d+, epoch 1; "
    ) as raised:
        workflow.train(
            cells / "images",
            cells / "masks",
            out=tmp_path,
            console=quiet,
            config=TrainingConfig(
                architecture="unet",
                filters=2,
                depth=1,
                patch_size=32,
                batch_size=2,
                learning_rate=1e30,
                instances="gaps",
            ),
        )
    for tried in (
        "lower learning rate",
        "another run folder",
        "wrong images and masks in the batch",
    ):
        assert tried in str(raised.value)
    (batch,) = tmp_path.glob("not-finite-step-*.npz")
    with np.load(batch) as parts:
        assert {name: part.shape for name, part in parts.items()} == {
            "image": (2, 32, 32, 1),
            "mask": (2, 32, 32),
            "weight_map": (2, 32, 32),
        }
    assert not list(tmp_path.glob("*.keras"))


def test_more_classes_than_masks_can_hold_are_refused_before_the_training(tmp_path, quiet):
    mask = np.arange(257, dtype=np.uint16).repeat(4).reshape(1, -1).repeat(4, axis=0)
    for number in range(2):
        pictures.write_picture(tmp_path / "images" / f"{number}.png", mask.astype(np.uint8))
        pictures.write_picture(tmp_path / "masks" / f"{number}.png", mask)
    with pytest.raises(ValueError, match="masks: 257 classes; expected at most 256"):
        workflow.train(
            tmp_path / "images",
            tmp_path / "masks",
            out=tmp_path / "run",
            mask_kind="classes",
            console=quiet,
        )
    assert list((tmp_path / "run").iterdir()) == []


def test_a_single_image_and_class_ids_with_a_gap_train_by_what_the_messages_name(
    tmp_path, quiet, least
):
    mask = np.zeros((40, 40), np.uint8)
    mask[5:20, 5:35], mask[22:36, 5:35] = 1, 3
    pictures.write_picture(tmp_path / "images" / "a.png", mask * np.uint8(80))
    pictures.write_picture(tmp_path / "masks" / "a.png", mask)
    images, masks, run = (tmp_path / name for name in ("images", "masks", "run"))
    config = TrainingConfig(**{**least, "epochs": 1, "steps_per_epoch": 1})
    options = {"config": config}
    with pytest.raises(ValueError, match=r"single image.*--validation-images"):
        workflow.train(images, masks, out=run, classes=[0, 1, 3], console=quiet, **options)
    options.update(validation_images=images, validation_masks=masks)
    workflow.train(images, masks, out=run, classes=[0, 1, 3], console=quiet, **options)
    found = open_model(run)
    assert (found.num_classes, found.class_values) == (3, (0, 1, 3))
    report = workflow.evaluate(run, images, masks, tile_size=32)
    assert {"dice_1", "dice_2"} <= set(report.overall)


@pytest.fixture
def copied(run, tmp_path):
    """The run in a folder that a test may damage."""
    return shutil.copytree(run, tmp_path / "copied")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"config\.json is damaged \(JSONDecodeError: Expecting value.*; restore it"),
        (b"\xff\xfe", r"config\.json is damaged \(.*; restore it"),
        (b"[]", r"config\.json is damaged \(expected a mapping of names to values\)"),
        (
            b'{"training": {"separation": 1}, "data": {}}',
            r"it lacks 'data.mask_kind', 'data.classes'",
        ),
    ],
)
def test_a_damaged_configuration_is_named_with_the_way_out(
    copied, cells, quiet, small, content, message
):
    (copied / "config.json").write_bytes(content)
    for use in (
        lambda: open_model(copied),
        lambda: workflow.train(
            cells / "images",
            cells / "masks",
            out=copied,
            config=TrainingConfig(**small),
            console=quiet,
        ),
    ):
        with pytest.raises(ValueError, match=message):
            use()


def test_the_way_out_of_a_damaged_configuration_is_one(copied, run, cells, quiet, small):
    (copied / "config.json").unlink()
    workflow.train(
        cells / "images", cells / "masks", out=copied, config=TrainingConfig(**small), console=quiet
    )
    assert (copied / "config.json").read_bytes() == (run / "config.json").read_bytes()


def test_damaged_results_are_found_before_the_training(copied, cells, quiet, small):
    for name, expected in (
        ("validation/metrics.json", r"metrics\.json is damaged"),
        ("history.csv", r"history\.csv is damaged in line 3 \(cut off\)"),
    ):
        (copied / name).write_bytes((copied / name).read_bytes()[:-1])
        (copied / name).write_bytes((copied / name).read_bytes()[:-9])
        with pytest.raises(ValueError, match=expected):
            workflow.train(
                cells / "images",
                cells / "masks",
                out=copied,
                config=TrainingConfig(**small),
                console=quiet,
            )
        (copied / name).unlink()


def test_a_network_of_nan_is_not_used(copied, cells, tmp_path):
    model = keras.models.load_model(copied / "best.keras")
    weights = model.get_weights()
    weights[-1] = np.full_like(weights[-1], np.nan)
    model.set_weights(weights)
    model.save(copied / "best.keras")
    for use in (
        lambda: workflow.predict(copied, cells / "images", out=tmp_path / "a"),
        lambda: workflow.predict(copied / "best.keras", cells / "images", out=tmp_path / "a"),
        lambda: workflow.evaluate(copied, cells / "images", cells / "masks"),
        lambda: workflow.export(copied, tmp_path / "a"),
    ):
        with pytest.raises(ValueError, match=r"best\.keras: weights are not finite \(.*, 1 of 1 "):
            use()
    assert not [path for path in (tmp_path / "a").rglob("*") if path.is_file()]


def test_what_training_and_validation_log_is_the_same_quantity(tmp_path, quiet, monkeypatch):
    """Border weights, side heads, presence: the one as the other, where the pixels are the same."""

    class Seen(Exception):
        pass

    def fit(build, training_data, validation_data, *_, **__):
        model = build()
        model.run_eagerly = True
        logs = [
            model.evaluate(dataset, verbose=0, return_dict=True)
            for dataset in (training_data(0).take(2), validation_data(model))
        ]
        raise Seen(*logs)

    monkeypatch.setattr(training, "fit", fit)
    for number in range(4):
        image, labels = data.generate_cells((64, 64), seed=number)
        pictures.write_picture(tmp_path / "images" / f"{number}.png", image)
        pictures.write_picture(tmp_path / "masks" / f"{number}.png", labels.astype(np.uint16))
    with pytest.raises(Seen) as seen:
        workflow.train(
            tmp_path / "images",
            tmp_path / "masks",
            out=tmp_path / "run",
            validation_images=tmp_path / "images",
            validation_masks=tmp_path / "masks",
            console=quiet,
            config=TrainingConfig(
                filters=2,
                depth=2,
                classification_guided=True,
                patch_size=64,
                batch_size=2,
                augment=False,
                separation=1,
                border_weights=True,
            ),
        )
    first, second = seen.value.args
    assert set(first) == {"loss", "dice", "iou"}
    for name, value in first.items():
        assert second[name] == pytest.approx(value, rel=1e-4), name
