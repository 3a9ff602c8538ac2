"""What a model says of a region: in memory, window by window, plane by plane."""

import dataclasses

import keras
import numpy as np
import pytest
from plugin_regions import region_of

from keras_unet3p import data, models
from keras_unet3p.client import EndpointError
from keras_unet3p.endpoint import LocalServer
from keras_unet3p.errors import InputError
from keras_unet3p.export import export_savedmodel
from keras_unet3p.napari_plugin.opened_model import OpenedModel
from keras_unet3p.napari_plugin.segmentation import segment_region
from keras_unet3p.napari_plugin.segmentation_request import SegmentationRequest
from keras_unet3p.postprocessing import label_instances
from keras_unet3p.workflow import open_model


class Windowed:
    """Gives windows, and refuses to give all of it, as an image larger than memory."""

    def __init__(self, pixels, most):
        self._pixels, self._most = pixels, most
        self.shape, self.dtype, self.ndim = pixels.shape, pixels.dtype, pixels.ndim

    def __getitem__(self, index):
        window = self._pixels[index]
        assert window.size <= self._most
        return window


@pytest.fixture(scope="module")
def cells():
    return data.generate_cells((150, 200), seed=3)[0]


@pytest.fixture(scope="module")
def nuclei():
    return OpenedModel("nuclei")


@pytest.fixture(scope="module")
def classes_file(tmp_path_factory):
    """A network of 3 classes that are grey values, so that every result is known."""
    import tensorflow as tf

    path = tmp_path_factory.mktemp("classes") / "grey.keras"
    network = models.unet((None, None, 1), num_classes=3, filters=2, depth=1)
    for weight in network.trainable_weights:
        weight.assign(tf.random.stateless_normal(weight.shape, (1, len(weight.shape))))
    network.save(path)
    return path


def test_instances_have_the_ids_of_predict_and_a_row_each(cells, nuclei):
    told = []
    region = region_of(cells)
    request = SegmentationRequest("nuclei", region, pixel_size=0.5, accept_values=True)
    found = segment_region(request, lambda *step: told.append(step), opened=lambda name: nuclei)
    expected = open_model("nuclei").instances(cells[..., np.newaxis])
    assert expected.max() > 3
    np.testing.assert_array_equal(found.labels, expected)
    assert [row["index"] for row in found.features] == [*range(1, expected.max() + 1)]
    for row in found.features:
        inside = expected == row["index"]
        assert row["area"] == inside.sum()
        assert row["area_um2"] == pytest.approx(inside.sum() / 4)
        assert row["class"] == 1
        assert row["centroid_row"] == pytest.approx(np.nonzero(inside)[0].mean())
        assert 0.5 < row["mean_probability"] <= 1
    assert told == [(0, 0), (0, 1), (1, 1)]


def test_window_by_window_instances_are_the_same(cells, nuclei, tmp_path):
    lazy = Windowed(np.tile(cells, (4, 5)), 1024 * 1024)
    region = region_of(lazy)
    request = SegmentationRequest("nuclei", region)
    steps = []
    found = segment_region(
        request,
        lambda *step: steps.append(step),
        opened=lambda name: nuclei,
        most_at_once=1000,
        file=tmp_path / "labels.npy",
    )
    assert isinstance(found.labels, np.memmap)
    expected = nuclei.predictor.instances(np.tile(cells, (4, 5))[..., np.newaxis])
    # Halos are narrower than what the network sees: a pixel here and there may differ.
    assert (found.labels != expected).mean() < 0.01
    assert len(found.features) == found.labels.max() == expected.max()
    assert found.features[0]["area"] == (found.labels == 1).sum()
    assert steps[-1] == (1, 1)
    assert len(steps) > 5


def test_the_planes_of_a_stack_share_no_id(cells, nuclei):
    stack = np.stack([cells, np.zeros_like(cells), cells.T[:150, :150].repeat(2, 1)[:, :200]])
    found = segment_region(
        SegmentationRequest("nuclei", region_of(stack)),
        opened=lambda name: nuclei,
    )
    assert found.labels.shape == stack.shape
    first, dark, last = (set(np.unique(plane)) - {0} for plane in found.labels)
    assert first
    assert last
    assert not first & last
    assert not dark
    assert {row["plane"] for row in found.features} == {"0", "2"}
    assert [row["index"] for row in found.features] == sorted(first | last)
    for row in found.features:
        assert row["area"] == (found.labels == row["index"]).sum()


def test_classes_stay_their_ids_or_are_numbered_piece_by_piece(cells, classes_file):
    whole = segment_region(SegmentationRequest(str(classes_file), region_of(cells)))
    predictor = open_model(classes_file)
    np.testing.assert_array_equal(whole.labels, predictor.labels(cells[..., np.newaxis]))
    assert whole.labels.dtype == np.uint8
    assert len(np.unique(whole.labels)) > 1
    assert [(row["index"], row["class"]) for row in whole.features] == [
        (label, label) for label in np.unique(whole.labels).tolist() if label
    ]
    pieces = segment_region(SegmentationRequest(str(classes_file), region_of(cells), separate=True))
    assert len(pieces.features) > len(whole.features)
    for row in pieces.features:
        inside = pieces.labels == row["index"]
        assert set(whole.labels[inside].tolist()) == {row["class"]}
        assert label_instances(inside, 0, smallest=1).max() == 1
    assert ((pieces.labels > 0) == (whole.labels > 0)).all()
    strips = segment_region(
        SegmentationRequest(str(classes_file), region_of(cells)), most_at_once=10
    )
    assert (strips.labels != whole.labels).mean() < 0.01
    assert [row["class"] for row in strips.features] == [row["class"] for row in whole.features]
    with pytest.raises(InputError, match="layer cells: 30,000 pixels are segmented window by"):
        segment_region(
            SegmentationRequest(str(classes_file), region_of(cells), separate=True),
            most_at_once=10,
        )


def test_an_exported_model_in_memory_and_window_by_window(cells, classes_file, tmp_path):
    network = keras.models.load_model(classes_file)
    export_savedmodel(network, tmp_path / "grey", tile_size=64)
    request = SegmentationRequest(str(tmp_path / "grey"), region_of(cells))
    at_once = segment_region(request)
    predictor = open_model(classes_file, tile_size=64)
    np.testing.assert_array_equal(at_once.labels, predictor.labels(cells[..., np.newaxis]))
    assert at_once.features
    assert "mean_probability" not in at_once.features[0]
    streamed = segment_region(request, most_at_once=10)
    np.testing.assert_array_equal(streamed.labels, at_once.labels)


def test_images_stored_unlike_those_of_the_training_are_refused(cells, nuclei):
    wide = cells.astype(np.uint16)  # of 65535, which is nearly black
    with pytest.raises(InputError, match="times dimmer than in training"):
        segment_region(SegmentationRequest("nuclei", region_of(wide)), opened=lambda name: nuclei)
    # Of a part of an image nothing can be said.
    part = dataclasses.replace(region_of(wide), is_part=True)
    found = segment_region(SegmentationRequest("nuclei", part), opened=lambda name: nuclei)
    assert found.labels.shape == wide.shape


def test_an_endpoint_s_model(write_model, tmp_path):
    write_model(tmp_path / "cells" / "1", tile_size=128)
    with LocalServer({"cells": tmp_path / "cells"}) as server:
        check_endpoint(server)


def check_endpoint(server):
    image = np.zeros((50, 70), np.uint8)
    image[5:20, 8:30] = 200
    request = SegmentationRequest(f"{server.url}/cells", region_of(image))
    found = segment_region(request)
    np.testing.assert_array_equal(found.labels, image > 0)
    assert found.features[0]["area"] == 15 * 22
    streamed = segment_region(request, most_at_once=10)
    np.testing.assert_array_equal(streamed.labels, image > 0)
    missing = SegmentationRequest(f"{server.url}/other", region_of(image))
    with pytest.raises(EndpointError):
        segment_region(missing)


def test_grey_stored_as_colour_and_opacity(cells, nuclei):
    grey = nuclei.predictor.instances(cells[..., np.newaxis])
    colour = np.stack([cells, cells, cells, np.full_like(cells, 255)], axis=-1)
    request = SegmentationRequest("nuclei", region_of(colour, rgb=True), accept_values=True)
    found = segment_region(request, opened=lambda name: nuclei)
    np.testing.assert_array_equal(found.labels, grey)
    colour[0, 0, 0] ^= 255
    with pytest.raises(InputError, match=r"cells: 4 channels; the model was trained on"):
        segment_region(request, opened=lambda name: nuclei)


def test_what_report_raises_ends_the_work(cells, nuclei):
    class Stop(Exception):
        pass

    def stop(done, total):
        if done:
            raise Stop

    region = region_of(np.tile(cells, (4, 5)))
    with pytest.raises(Stop):
        segment_region(
            SegmentationRequest("nuclei", region),
            stop,
            opened=lambda name: nuclei,
            most_at_once=10,
        )


def test_no_model(cells):
    with pytest.raises(InputError, match="nowhere is no run folder"):
        segment_region(SegmentationRequest("nowhere", region_of(cells)))
