"""napari with the plugin, as a user has it, on a screen that is not there."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

pytest.importorskip("napari", reason="napari is not installed: the plugin needs it")
pytest.importorskip(
    "PyQt6.QtWidgets", reason="no Qt, or not its libraries (libegl1)", exc_type=ImportError
)

import napari
import npe2
from napari.utils.notifications import notification_manager

from keras_unet3p import data, models, workflow
from keras_unet3p.napari_plugin.model_process import ModelProcess
from keras_unet3p.napari_plugin.segment_widget import OWN, SELECTED, VIEW, SegmentWidget


@pytest.fixture(scope="module", autouse=True)
def application():
    """Qt's, which lives as long as its widgets."""
    return napari.qt.get_qapp()


@pytest.fixture
def viewer():
    """What napari's window shows; the window itself needs OpenGL."""
    return napari.components.ViewerModel()


@pytest.fixture(scope="module")
def process():
    """One for all tests, as it takes seconds to start."""
    found = ModelProcess()
    yield found
    found.close()


@pytest.fixture
def widget(viewer, process):
    found = SegmentWidget(viewer)
    found._process = process
    return found


@pytest.fixture(scope="module")
def cells():
    return data.generate_cells((150, 200), seed=3)[0]


def run(widget, *, cancel=False):
    """Press the button, and let Qt work until all is done."""
    widget.start.click()
    if cancel:
        widget.cancel.click()
    end = time.monotonic() + 120
    while widget._worker is not None:
        napari.qt.get_qapp().processEvents()
        time.sleep(0.01)
        assert time.monotonic() < end
    napari.qt.get_qapp().processEvents()


def test_the_manifest_is_one():
    command = [Path(sys.executable).with_name("npe2"), "validate", "keras_unet3p"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
    assert "valid" in told.stdout


def test_napari_finds_the_widget():
    plugins = npe2.PluginManager.instance()
    plugins.discover()
    (found,) = plugins.get_manifest("keras_unet3p").contributions.widgets
    assert found.display_name == "Segment"
    assert found.get_callable() is SegmentWidget


def test_napari_starts_without_tensorflow():
    code = (
        "import sys; import keras_unet3p.napari_plugin.segment_widget; "
        "print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def test_the_whole_image(viewer, widget, cells):
    image = viewer.add_image(cells, name="cells", scale=(0.5, 0.5), units=("um", "um"))
    widget.model.setCurrentText("nuclei")
    run(widget)
    labels = viewer.layers["cells segmented"]
    np.testing.assert_array_equal(
        labels.data, workflow.open_model("nuclei").instances(cells[..., np.newaxis])
    )
    assert len(labels.features) == labels.data.max() > 3
    assert {"index", "class", "area", "area_um2", "mean_probability"} <= set(labels.features)
    np.testing.assert_array_equal(labels.scale, image.scale)
    # The row of a label is shown where the pointer is on it.
    row, column = labels.features.loc[0, ["centroid_row", "centroid_column"]]
    status = labels.get_status((row / 2, column / 2), world=True)
    assert "mean_probability" in str(status)
    assert widget.status.text().startswith(f"{len(labels.features)} in")
    assert widget.start.isEnabled()
    assert not widget.cancel.isEnabled()


def test_the_view(viewer, widget, cells):
    image = viewer.add_image(np.tile(cells, (3, 3)), name="cells")
    top, left = 100, 150
    image._update_draw(1.0, np.array([[top, left], [280, 360]]), (400, 400))  # as a canvas does
    widget.extent.setCurrentText(VIEW)
    run(widget)
    labels = viewer.layers["cells segmented"]
    np.testing.assert_array_equal(labels.translate, (top, left))
    assert labels.data.shape < image.data.shape
    assert labels.data.max() > 0
    first = labels.features.loc[0]
    inside = np.argwhere(labels.data == first["index"]) + np.array([top, left])
    np.testing.assert_allclose(inside.mean(axis=0), first[["centroid_row", "centroid_column"]])


def test_a_stack_that_is_read_when_it_is_asked_for(viewer, widget, cells):
    dask = pytest.importorskip("dask.array", reason="dask is not installed")
    stack = dask.stack([dask.from_array(cells), dask.from_array(cells[::-1])])
    viewer.add_image(stack, name="film")
    viewer.dims.set_point(0, 1)
    run(widget)
    one = viewer.layers["film segmented"]
    assert one.data.shape == (1, 150, 200)
    np.testing.assert_array_equal(one.translate, (1, 0, 0))
    widget.all_slices.setChecked(True)
    run(widget)
    every = viewer.layers["film segmented [1]"]
    assert every.data.shape == (2, 150, 200)
    np.testing.assert_array_equal(every.data[1] > 0, one.data[0] > 0)
    assert sorted(every.features["index"]) == [*range(1, every.data.max() + 1)]


@pytest.mark.parametrize(
    ("model", "text"),
    [("nowhere", "nowhere is no run folder"), ("", "model: none given"), (None, "no image layer")],
)
def test_errors_are_told(viewer, widget, cells, model, text):
    if model is not None:
        viewer.add_image(cells)
        widget.model.setCurrentText(model)
    notification_manager.records.clear()
    run(widget)
    assert text in widget.status.text()
    assert text in str(notification_manager.records[-1].message)
    assert widget.start.isEnabled()


def test_cancelling_adds_nothing(viewer, widget, cells):
    viewer.add_image(cells)
    run(widget, cancel=True)
    assert widget.status.text() == "Cancelled"
    assert len(viewer.layers) == 1


@pytest.fixture(scope="module")
def two_channels(tmp_path_factory):
    """A model of images of two channels."""
    import tensorflow as tf

    network = models.unet((None, None, 2), num_classes=3, filters=2, depth=1)
    for weight in network.trainable_weights:
        weight.assign(tf.random.stateless_normal(weight.shape, (1, len(weight.shape))))
    path = tmp_path_factory.mktemp("two") / "channels.keras"
    network.save(path)
    return path


def offered(widget):
    return [widget.channels.itemText(at) for at in range(widget.channels.count())]


def test_a_file_that_napari_has_split_into_layers(viewer, widget, cells, two_channels):
    both = np.stack([cells, cells[::-1]])
    expected = workflow.open_model(two_channels).labels(np.moveaxis(both, 0, -1))
    assert len(np.unique(expected)) > 1
    viewer.add_image(both, channel_axis=0, name=["DAPI", "GFP"], scale=(0.5, 0.5))
    widget.model.setCurrentText(str(two_channels))
    run(widget)
    assert "1 channels; the model was trained on images of 2" in widget.status.text()
    widget.channels.setCurrentText(SELECTED)
    viewer.layers.selection = set(viewer.layers[:1])
    run(widget)
    assert "image layers selected: 1" in widget.status.text()
    viewer.layers.selection = set(viewer.layers)
    assert widget.channel_names.text() == "1: DAPI\n2: GFP"
    assert not widget.layer.isEnabled()
    run(widget)
    labels = viewer.layers["DAPI + GFP segmented"]
    np.testing.assert_array_equal(labels.data, expected)
    np.testing.assert_array_equal(labels.scale, (0.5, 0.5))
    # The list is the order: what is moved below is the first channel.
    viewer.layers.move(1, 0)
    viewer.layers.selection = set(viewer.layers[:2])
    assert widget.channel_names.text() == "1: GFP\n2: DAPI"
    assert widget.channels.currentText() == SELECTED


def test_a_layer_with_an_axis_of_channels(viewer, widget, cells, two_channels):
    viewer.add_image(cells, name="grey")
    assert offered(widget) == [OWN, SELECTED]
    both = np.stack([cells, cells[::-1]])
    viewer.add_image(both, name="both")
    widget.layer.setCurrentText("both")
    names = viewer.dims.axis_labels  # as they stand beside the sliders
    axes = [f"The {size} of axis {name}" for size, name in zip(both.shape, names, strict=True)]
    assert offered(widget) == [OWN, SELECTED, *axes]
    widget.channels.setCurrentIndex(2)
    widget.model.setCurrentText(str(two_channels))
    run(widget)
    labels = viewer.layers["both segmented"]
    expected = workflow.open_model(two_channels).labels(np.moveaxis(both, 0, -1))
    np.testing.assert_array_equal(labels.data[0], expected)
    place = tuple(np.argwhere(expected > 0)[0])
    for channel in (0, 1):
        assert labels.get_value((channel, *place), world=True) == expected[place]


def test_the_list_of_images_follows_the_viewer(viewer, widget, cells):
    assert widget.layer.count() == 0
    first = viewer.add_image(cells, name="a")
    viewer.add_labels(cells.astype(int))
    viewer.add_image(cells, name="b")
    assert [widget.layer.itemText(at) for at in range(widget.layer.count())] == ["a", "b"]
    widget.layer.setCurrentText("b")
    viewer.layers.remove("b")
    assert widget.layer.currentData() is first


def test_in_napari_s_window(tmp_path):
    """The plugin as a user opens it, in a process without TensorFlow: see `model_process`."""
    if shutil.which("xvfb-run") is None:
        pytest.skip("xvfb-run is not installed: napari's canvas needs a screen with OpenGL")
    script = tmp_path / "window.py"
    script.write_text(WINDOW)
    told = subprocess.run(
        ["xvfb-run", "-a", "-s", "-screen 0 1280x900x24", sys.executable, str(script)],
        env={**os.environ, "QT_QPA_PLATFORM": "xcb"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if "no OpenGL" in told.stdout:
        pytest.skip("no OpenGL on the virtual screen (Debian: libgl1-mesa-dri, libxcb-cursor0)")
    assert "the process has ended" in told.stdout, told.stdout + told.stderr[-3000:]


WINDOW = """
import os
import sys
import time

import napari
import numpy as np
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext

from keras_unet3p.data import generate_cells
from keras_unet3p.napari_plugin.segment_widget import VIEW, SegmentWidget

napari.qt.get_qapp()
context, surface = QOpenGLContext(), QOffscreenSurface()
surface.create()
if not (context.create() and context.makeCurrent(surface)):
    print("no OpenGL")
    os._exit(0)
context.doneCurrent()
viewer = napari.Viewer(show=False)
_, widget = viewer.window.add_plugin_dock_widget("keras_unet3p", "Segment")
assert isinstance(widget, SegmentWidget)
cells = generate_cells((150, 200), seed=3)[0]
image = viewer.add_image(np.tile(cells, (3, 3)), name="cells")
viewer.camera.center, viewer.camera.zoom = (0, 200, 300), 4
viewer.window._qt_viewer.canvas.on_draw(None)
top, left = image.corner_pixels[0]
assert top > 0 and left > 0
widget.extent.setCurrentText(VIEW)
widget.start.click()
end = time.monotonic() + 200
while widget._worker is not None and time.monotonic() < end:
    napari.qt.get_qapp().processEvents()
    time.sleep(0.01)
napari.qt.get_qapp().processEvents()
labels = viewer.layers["cells segmented"]
assert tuple(labels.translate) == (top, left)
assert labels.data.max() > 0
assert "tensorflow" not in sys.modules
child = widget._process._process
assert child.poll() is None
viewer.close()
napari.qt.get_qapp().processEvents()
child.wait(timeout=20)
print("the process has ended", flush=True)
os._exit(0)  # what Qt and OpenGL do at the very end is not ours
"""
