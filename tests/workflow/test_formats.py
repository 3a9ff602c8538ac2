"""Images of the field's formats through predict, train and evaluate: as the same pixels in PNGs."""

import cv2
import keras
import numpy as np
import pytest
import tifffile
from dicom_files import write_series
from volume_files import read_zarr, write_nifti, write_zarr

from keras_unet3p import data, images, models, workflow
from keras_unet3p.config import ReadingChoices
from keras_unet3p.images import pictures
from keras_unet3p.images import plane as planes
from keras_unet3p.images.formats import tiff

COUNT, SIZE = 4, (60, 76)


@pytest.fixture(scope="module")
def stack():
    """Images and instance ids (Z, H, W)."""
    pairs = [data.generate_cells(SIZE, seed=number) for number in range(COUNT)]
    return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])


@pytest.fixture(scope="module")
def model(stack, tmp_path_factory):
    """A network that is not trained, and calls half of the pixels foreground."""
    keras.utils.set_random_seed(3)
    path = tmp_path_factory.mktemp("model") / "small.keras"
    network = models.unet((None, None, 1), filters=2, depth=2)
    odds = np.median(network.predict(stack[0][:, :, :, np.newaxis] / np.float32(255), verbose=0))
    last = [layer for layer in network.layers if getattr(layer, "bias", None) is not None][-1]
    last.bias.assign(last.bias - np.log(odds / (1 - odds)))
    network.save(path)
    return path


@pytest.fixture(scope="module")
def expected(stack, model, tmp_path_factory):
    """Class ids of the same pixels in PNGs."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, image in enumerate(stack[0]):
        pictures.write_picture(folder / "images" / f"{number}.png", image)
    written = workflow.predict(model, folder / "images", out=folder / "out", tile_size=64)
    masks = np.stack([cv2.imread(str(path), cv2.IMREAD_UNCHANGED) > 0 for path in written])
    assert 0 < masks.mean() < 1
    return masks.astype(np.uint8)


def test_zarr_is_segmented_as_pictures_are(stack, model, expected, tmp_path):
    path = write_zarr(tmp_path / "cells.zarr", stack[0])
    out = tmp_path / "out"
    for _ in range(2):  # the second time in the place of the first
        (written,) = workflow.predict(model, path, out=out, tile_size=64)
        assert written == out / "cells.zarr"
        assert np.array_equal(read_zarr(written), expected)
    assert sorted(file.name for file in out.iterdir()) == ["cells.zarr", "overlays"]
    assert len(list((out / "overlays").iterdir())) == COUNT
    masks = workflow.predict(model, path, out=tmp_path / "png", mask_format="png", tile_size=64)
    assert [mask.name for mask in masks] == [f"cells_00{z}.png" for z in range(COUNT)]
    assert np.array_equal(images.read_labels(masks[2])[0] > 0, expected[2] > 0)


def test_labels_go_into_the_zarr(stack, model, expected, tmp_path):
    path = write_zarr(tmp_path / "cells.zarr", stack[0])
    (written,) = workflow.predict(model, path, into_zarr="unet", tile_size=64)
    assert written == path / "labels" / "unet"
    assert np.array_equal(read_zarr(written), expected)
    with pytest.raises(ValueError, match="has labels 'unet' already"):
        workflow.predict(model, path, into_zarr="unet", tile_size=64)
    pictures.write_picture(tmp_path / "a.png", stack[0][0])
    with pytest.raises(ValueError, match="is no OME-Zarr image"):
        workflow.predict(model, tmp_path / "a.png", into_zarr="unet")
    with pytest.raises(ValueError, match="expected a folder for the masks, or into_zarr"):
        workflow.predict(model, path)


@pytest.mark.parametrize("kind", ["classes", "instances"])
def test_a_large_plane_is_segmented_in_windows(stack, model, tmp_path, monkeypatch, kind):
    image = np.tile(stack[0][0], (3, 3))
    path = write_zarr(tmp_path / "cells.zarr", image, "yx")
    if kind == "instances":
        model = tmp_path / "distance.keras"
        network = models.unet(
            (None, None, 1),
            num_classes=2,
            filters=2,
            depth=2,
            classifier_activation="sigmoid",
        )
        network.save(model)
        opened = workflow.opening.open_model
        rule = workflow.opening.InstanceRule()
        monkeypatch.setattr(
            workflow.prediction,
            "open_model",
            lambda *given, **options: opened(*given, rule=rule, **options),
        )
    (whole,) = workflow.predict(model, path, out=tmp_path / "whole", tile_size=64)
    monkeypatch.setattr(planes, "LARGE", 100)
    (written,) = workflow.predict(model, path, out=tmp_path / "out", tile_size=64)
    first, second = read_zarr(whole), read_zarr(written)
    assert first.dtype == second.dtype
    # The probabilities agree to 1e-6, and those of an untrained network lie at the threshold.
    assert np.mean((first > 0) != (second > 0)) < 1e-2
    assert not (tmp_path / "out" / "overlays").exists()


def test_tiff_is_segmented_as_pictures_are(stack, model, expected, tmp_path, monkeypatch):
    path = tmp_path / "cells.ome.tif"
    metadata = {"axes": "ZYX"}
    tifffile.imwrite(path, stack[0], tile=(32, 32), photometric="minisblack", metadata=metadata)
    reading = ReadingChoices(axes="zyx")
    written = workflow.predict(model, path, out=tmp_path / "out", reading=reading, tile_size=64)
    assert [mask.name for mask in written] == [f"cells_00{z}.png" for z in range(COUNT)]
    found = np.stack([images.read_labels(mask)[0] > 0 for mask in written])
    assert np.array_equal(found, expected)

    for module in (planes, tiff):
        monkeypatch.setattr(module, "LARGE", 2000)
    written = workflow.predict(model, path, out=tmp_path / "large", tile_size=64)
    assert [mask.name for mask in written] == [f"cells_00{z}.tif" for z in range(COUNT)]
    found = np.stack([images.read_labels(mask)[0] for mask in written])
    assert np.mean((found > 0) != expected) < 1e-2
    assert set(np.unique(found)) <= {0, 255}


def test_nifti_is_segmented_as_pictures_are(stack, model, expected, tmp_path):
    path = write_nifti(tmp_path / "images" / "cells.nii.gz", stack[0])
    import nibabel

    (written,) = workflow.predict(model, path, out=tmp_path / "out", tile_size=64)
    assert written == tmp_path / "out" / "cells.nii.gz"
    mask = nibabel.load(written)
    assert np.array_equal(np.asanyarray(mask.dataobj).transpose(2, 1, 0), expected)
    assert np.array_equal(mask.affine, nibabel.load(path).affine)
    # In the form of pictures too, and with an image that is no volume in the same folder.
    pictures.write_picture(path.parent / "single.png", stack[0][0])
    options = {"mask_format": "tiff", "tile_size": 64}
    both = workflow.predict(model, path.parent, out=tmp_path / "two", **options)
    assert len(both) == COUNT + 1
    assert np.array_equal(images.read_labels(both[3])[0] > 0, expected[3] > 0)


def test_dicom_is_segmented_as_arrays_are(stack, model, tmp_path):
    pytest.importorskip("highdicom", reason="needs the extra medical")
    array = stack[0].astype(np.uint16) * 16
    np.save(tmp_path / "cells.npy", array)
    pngs = workflow.predict(model, tmp_path / "cells.npy", out=tmp_path / "png", tile_size=64)
    folder = write_series(tmp_path / "scan", array, intercept=0)
    (written,) = workflow.predict(model, folder, out=tmp_path / "out", tile_size=64)
    assert written == tmp_path / "out" / "scan.dcm"
    found = np.stack(images.read_labels(written))
    expected = np.stack([images.read_labels(png)[0] for png in pngs])
    assert found.shape == array.shape
    assert np.array_equal(found > 0, expected > 0)


def test_slides_are_segmented_as_pictures_are(stack, tmp_path, monkeypatch):
    for name in ("imagecodecs", "tiffslide"):
        pytest.importorskip(name, reason="needs the extra slides")
    network = models.unet((None, None, 3), filters=2, depth=2)
    network.save(tmp_path / "colour.keras")
    colour = np.stack([np.tile(image, (3, 3)) for image in stack[0][:3]], -1)
    pictures.write_picture(tmp_path / "same.png", colour)
    tifffile.imwrite(tmp_path / "slide.svs", colour, photometric="rgb", tile=(64, 64))
    masks = {}
    for number, name in enumerate(("same.png", "slide.svs", "slide.svs")):
        if number == 2:
            monkeypatch.setattr(planes, "LARGE", 1000)
        out = tmp_path / f"out{number}"
        (written,) = workflow.predict(
            tmp_path / "colour.keras", tmp_path / name, out=out, tile_size=64
        )
        masks[written.name] = images.read_labels(written)[0]
    assert list(masks) == ["same.png", "slide.png", "slide.tif"]
    assert np.array_equal(masks["same.png"], masks["slide.png"])
    # Probabilities of an untrained network lie at the threshold; they agree to 1e-6.
    assert np.mean(masks["same.png"] != masks["slide.tif"]) < 1e-2


def test_volumes_are_trained_on_and_measured_as_wholes(stack, tmp_path, quiet):
    for number in range(2):
        part = slice(2 * number, 2 * number + 2)
        write_nifti(tmp_path / "images" / f"v{number}.nii", stack[0][part].astype(np.float32) - 99)
        write_nifti(tmp_path / "masks" / f"v{number}.nii", (stack[1][part] > 0).astype(np.uint8))
    config = workflow.TrainingConfig(
        architecture="unet",
        filters=2,
        depth=1,
        patch_size=32,
        batch_size=2,
        epochs=1,
        steps_per_epoch=2,
        tuning=False,
    )
    run, given = tmp_path / "run", (tmp_path / "images", tmp_path / "masks")
    reading = ReadingChoices(window="40,400", neighbors=1)
    workflow.train(*given, config, out=run, reading=reading, console=quiet)
    predictor = workflow.open_model(run)
    assert predictor.reading == reading
    single = ReadingChoices(neighbors=0)
    assert predictor.reading_of(given[0], single) == ReadingChoices(window="40,400")
    report = workflow.evaluate(run, *given, tile_size=64)
    names = sorted(row["name"] for row in report.images)
    assert names == ["v0_000", "v0_001", "v1_000", "v1_001"]
    volumes = {row["name"]: row for row in report.volumes}
    assert sorted(volumes) == ["v0.nii", "v1.nii"]
    masks = workflow.predict(run, given[0], out=tmp_path / "out", tile_size=64)
    for name, mask in zip(sorted(volumes), masks, strict=True):
        found = np.stack(images.read_labels(mask)).astype(bool)
        truth = np.stack(images.read_labels(given[1] / name)).astype(bool)
        dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
        assert volumes[name]["dice"] == pytest.approx(dice, abs=1e-6)
        assert volumes[name]["slices"] == 2


def test_training_and_evaluation_take_zarr(stack, tmp_path, quiet):
    image, ids = (part[:2] for part in stack)
    folder = tmp_path / "images"
    for number in range(2):
        path = write_zarr(folder / f"v{number}.zarr", image)
        from keras_unet3p.images.formats import ome_zarr

        with ome_zarr.labels_inside(path, "cells", ReadingChoices(), np.uint16) as file:
            for z in range(2):
                writer = file.plane(z)
                writer[:, :] = ids[z]
                writer.finish()
    opened = data.open_images(folder, folder)
    assert len(opened) == 4
    assert opened.mask_kind == "instances"
    assert np.array_equal(opened.stored(1)[0][..., 0], image[1])
    training, validation = opened.split(0.25, seed=0)
    assert len(set(validation.volumes)) == 1
    assert not set(validation.volumes) & set(training.volumes)
    assert len(validation) == 2

    run = tmp_path / "run"
    config = workflow.TrainingConfig(
        architecture="unet",
        filters=2,
        depth=1,
        patch_size=32,
        batch_size=2,
        epochs=1,
        steps_per_epoch=2,
        validation=0.25,
        instances="gaps",
        tuning=False,
    )
    reading = ReadingChoices(neighbors=1)
    workflow.train(folder, folder, config, out=run, reading=reading, console=quiet)
    (written, _) = workflow.predict(run, folder, out=tmp_path / "out", tile_size=64)
    assert read_zarr(written).shape == image.shape
    report = workflow.evaluate(run, folder, folder, out=tmp_path / "report", tile_size=64)
    assert len(report.images) == 4
    assert sorted(row["name"] for row in report.volumes) == ["v0.zarr", "v1.zarr"]
    assert [row["slices"] for row in report.volumes] == [2, 2]
    # Both volumes hold the same slices, and so does the whole.
    assert report.volumes[0]["dice"] == pytest.approx(report.overall["dice"])
    assert (tmp_path / "report" / "volumes.csv").read_text().startswith("name,slices,dice")


def test_large_planes_are_opened_in_windows(stack, tmp_path, monkeypatch):
    image = write_zarr(tmp_path / "image.zarr", stack[0][0], "yx")
    mask = write_zarr(tmp_path / "mask.zarr", stack[1][0].astype(np.uint16), "yx")
    monkeypatch.setattr(planes, "LARGE", 100)
    monkeypatch.setattr(planes, "_WINDOW", 40)
    opened = data.open_images(image, mask)
    assert opened.shapes == [(h, w) for h in (32, 28) for w in (32, 32, 12)]
    assert np.array_equal(opened.stored(4)[0][..., 0], stack[0][0][32:, 32:64])
    assert np.array_equal(opened.stored(4)[1], stack[1][0][32:, 32:64])
