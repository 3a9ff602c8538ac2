"""The process that has TensorFlow, so that napari's has not."""

import dataclasses
import os
import signal
import threading

import numpy as np
import pytest
from plugin_regions import region_of

from keras_unet3p import data
from keras_unet3p.napari_plugin import model_process
from keras_unet3p.napari_plugin.model_process import Cancelled, ModelProcess, RefusedError
from keras_unet3p.napari_plugin.segmentation_request import SegmentationRequest
from keras_unet3p.workflow import open_model


@pytest.fixture(scope="module")
def process():
    found = ModelProcess()
    yield found
    found.close()


@pytest.fixture(scope="module")
def cells():
    return data.generate_cells((150, 200), seed=3)[0]


def test_it_gives_what_the_model_gives_and_stays(process, cells):
    expected = open_model("nuclei").instances(cells[..., np.newaxis])
    told = []
    request = SegmentationRequest("nuclei", region_of(cells))
    found = process.run(request, report=lambda *step: told.append(step))
    np.testing.assert_array_equal(found.labels, expected)
    assert len(found.features) == expected.max() > 3
    assert told[0] == (0, 0)
    assert told[-1] == (1, 1)
    number = process._process.pid
    in_file = process.run(request, most_in_memory=100)
    assert isinstance(in_file.labels, np.memmap)
    np.testing.assert_array_equal(in_file.labels, expected)
    assert process._process.pid == number


def test_it_refuses_and_warns_and_goes_on(process, cells):
    with pytest.raises(RefusedError, match="nowhere is no run folder"):
        process.run(SegmentationRequest("nowhere", region_of(cells)))
    number = process._process.pid
    wide = SegmentationRequest("nuclei", region_of(cells.astype(np.uint16)))  # nearly black
    with pytest.raises(RefusedError, match="dimmer than in training"):
        process.run(wide)
    warned = []
    process.run(dataclasses.replace(wide, accept_values=True), warn=warned.append)
    assert len(warned) == 1
    assert "dimmer than in training" in warned[0]
    assert process._process.pid == number


def test_a_mistake_is_told_with_its_traceback(process):
    broken = dataclasses.replace(region_of(np.zeros((40, 40), np.uint8)), axes=("a", "b"))
    with pytest.raises(RuntimeError, match="Traceback"):
        process.run(SegmentationRequest("nuclei", broken))


class Data:
    """Pixels that do something when they are read."""

    shape, dtype = (60, 70), np.dtype(np.uint8)

    def __init__(self, action):
        self.action = action

    def __getitem__(self, index):
        self.action()
        return np.zeros(self.shape, self.dtype)[index]


def region_of_data(action):
    return dataclasses.replace(region_of(np.zeros(Data.shape, np.uint8)), data=Data(action))


def test_it_ends_when_the_work_is_cancelled(process):
    stop = threading.Event()
    process.run(SegmentationRequest("nuclei", region_of(np.zeros((8, 8))), accept_values=True))
    child = process._process
    with pytest.raises(Cancelled):
        process.run(SegmentationRequest("nuclei", region_of_data(stop.set)), stop=stop)
    assert child.poll() is not None


def test_what_reading_raises_is_raised(process):
    def fail():
        raise KeyError("chunk 7")

    with pytest.raises(KeyError, match="chunk 7"):
        process.run(SegmentationRequest("nuclei", region_of_data(fail)))


def test_a_process_that_is_killed_is_told(process):
    def kill():
        os.kill(process._process.pid, signal.SIGKILL)

    with pytest.raises(RefusedError, match="has ended with code -9"):
        process.run(SegmentationRequest("nuclei", region_of_data(kill)))


def test_a_process_that_cannot_start_is_told(monkeypatch):
    monkeypatch.setattr(model_process.sys, "executable", "/bin/false")
    with pytest.raises(RefusedError, match="has ended with code 1;"):
        ModelProcess().run(SegmentationRequest("nuclei", region_of(np.zeros((8, 8)))))
