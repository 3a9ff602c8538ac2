"""napari's widget "Segment"."""

# napari and Qt come with the extra, and qtpy passes on the names of whichever Qt there is.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false

from __future__ import annotations

import threading
from typing import Any

import napari.layers
import napari.utils.notifications as notifications
from napari.qt.threading import create_worker
from napari.utils import progress
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from keras_unet3p.artifacts.preset import Preset
from keras_unet3p.errors import InputError, UserError, printable
from keras_unet3p.napari_plugin.layer_region import LayerRegion
from keras_unet3p.napari_plugin.model_process import Cancelled, ModelProcess
from keras_unet3p.napari_plugin.segmentation_request import SegmentationRequest

WHOLE, VIEW = "Whole image", "Current view"
OWN, SELECTED = "The image's own", "One in each selected layer"


class SegmentWidget(QWidget):
    """Segments an image layer, or what is shown of it, and adds a layer of labels.

    Args:
        napari_viewer: the viewer whose layers are segmented.

    Example:
        >>> viewer.window.add_dock_widget(SegmentWidget(viewer))  # doctest: +SKIP
    """

    # From the thread that works to the one that shows.
    _told = Signal(int, int)
    _warned = Signal(str)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._worker: Any = None
        self._bar: Any = None
        self._stop = threading.Event()
        self._process = ModelProcess()
        self.destroyed.connect(_closing(self._stop, self._process))
        self._build()
        layers = napari_viewer.layers
        for event in (layers.events.inserted, layers.events.removed, layers.events.reordered):
            event.connect(self._list_layers)
        layers.selection.events.changed.connect(self._name_channels)
        self._list_layers()
        self._told.connect(self._show_progress)
        self._warned.connect(notifications.show_warning)

    def _build(self) -> None:
        self.layer = QComboBox()
        self.layer.setToolTip("The image layer that is segmented")
        self.layer.currentIndexChanged.connect(self._list_channels)
        self.channels = QComboBox()
        self.channels.addItem(OWN, None)
        self.channels.setToolTip(
            "Where the channels of the model's images are: in a colour, in an axis that has a "
            "slider, or in layers of their own, as napari splits a file's. Of these the lowest in "
            "the list of layers is the first channel"
        )
        self.channels.currentIndexChanged.connect(self._name_channels)
        self.channel_names = QLabel()
        self.channel_names.setWordWrap(True)
        self.channel_names.hide()
        self.model = QComboBox()
        self.model.setEditable(True)
        self.model.addItems(Preset.names())
        self.model.setToolTip(
            "A run folder, a .keras file, an exported model, a preset, or an endpoint's URL, "
            "http://HOST:PORT/MODEL"
        )
        browse = QToolButton()
        browse.setText("…")
        browse.setToolTip("Choose the folder of a run or of an exported model")
        browse.clicked.connect(self._browse)
        for box in (self.layer, self.channels, self.model):
            box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            box.setMinimumContentsLength(12)  # long names do not widen the dock
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
        beside = QHBoxLayout()
        beside.setContentsMargins(0, 0, 0, 0)
        beside.addWidget(self.model)
        beside.addWidget(browse)
        self.extent = QComboBox()
        self.extent.addItems([WHOLE, VIEW])
        self.extent.setToolTip(
            "Of a pyramid, the whole image is that of full resolution, and the view the level that "
            "is shown"
        )
        self.all_slices = QCheckBox("All slices")
        self.all_slices.setToolTip("Of a stack, every slice instead of the one that is shown")
        self.separate = QCheckBox("Number separate objects")
        self.separate.setToolTip(
            "Of a model of classes, a number for each separate piece. A model that tells touching "
            "objects apart numbers them in any case"
        )
        self.accept_values = QCheckBox("Accept other intensities")
        self.accept_values.setToolTip("Of images that are stored unlike those of the training")
        self.start = QPushButton("Segment")
        self.start.clicked.connect(self.segment)
        self.cancel = QPushButton("Cancel")
        self.cancel.setEnabled(False)
        self.cancel.clicked.connect(self._stop.set)
        self.status = QLabel()
        self.status.setWordWrap(True)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", self.layer)
        form.addRow("Channels", self.channels)
        form.addRow("", self.channel_names)
        form.addRow("Model", beside)
        form.addRow("Region", self.extent)
        for box in (self.all_slices, self.separate, self.accept_values):
            form.addRow("", box)
        buttons = QHBoxLayout()
        buttons.addWidget(self.start)
        buttons.addWidget(self.cancel)
        whole = QVBoxLayout(self)
        whole.addLayout(form)
        whole.addLayout(buttons)
        whole.addWidget(self.status)
        whole.addStretch()

    def _list_layers(self, event: Any = None) -> None:
        images = [item for item in self._viewer.layers if isinstance(item, napari.layers.Image)]
        chosen = self.layer.currentData()
        if chosen not in images:
            chosen = images[-1] if images else None
        self.layer.clear()
        for image in images:
            self.layer.addItem(image.name, image)
        self.layer.setCurrentIndex(images.index(chosen) if chosen is not None else -1)

        self._name_channels()

    def _list_channels(self, event: Any = None) -> None:
        """Offer the chosen layer's axes; what was chosen stays, where it is still there."""
        chosen, layer = self.channels.currentData(), self.layer.currentData()
        offered: list[tuple[str, int | str | None]] = [(OWN, None), (SELECTED, SELECTED)]
        if layer is not None and not layer.rgb and layer.ndim > 2:
            dims, shape = self._viewer.dims, layer.level_shapes[0] if layer.multiscale else None
            shape = layer.data.shape if shape is None else shape
            names = dims.axis_labels[dims.ndim - layer.ndim :]
            offered += [
                (f"The {size} of axis {name}", axis)
                for axis, (name, size) in enumerate(zip(names, shape, strict=True))
            ]
        self.channels.clear()
        for text, value in offered:
            self.channels.addItem(text, value)
        values = [value for _, value in offered]
        self.channels.setCurrentIndex(values.index(chosen) if chosen in values else 0)

    def _selected_images(self) -> list[Any]:
        """From the lowest in the list up, the order in which napari adds a file's channels."""
        layers = self._viewer.layers
        return [
            layer
            for layer in layers
            if layer in layers.selection and isinstance(layer, napari.layers.Image)
        ]

    def _name_channels(self, event: Any = None) -> None:
        in_layers = self.channels.currentData() == SELECTED
        self.layer.setEnabled(not in_layers)
        self.channel_names.setVisible(in_layers)
        named = [
            f"{number}: {layer.name}" for number, layer in enumerate(self._selected_images(), 1)
        ]
        self.channel_names.setText("\n".join(named) or "No image layer is selected")

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Run or exported model")
        if folder:
            self.model.setCurrentText(folder)

    def segment(self) -> None:
        """Begin what is chosen; the layer is added when it is done."""
        if self._worker is not None:
            return
        try:
            work = self._work()
        except UserError as error:
            self._tell(error)
            return
        self._stop.clear()
        self._set_busy(True)
        # An error is told by `_fail`, and not raised again.
        self._worker = create_worker(work, _start_thread=False, _ignore_errors=True)
        self._worker.returned.connect(self._add)
        self._worker.errored.connect(self._fail)
        self._worker.finished.connect(self._finish)
        self._worker.start()

    def _work(self) -> Any:
        layer, name = self.layer.currentData(), self.model.currentText().strip()
        if layer is None:
            raise InputError("image: there is no image layer; expected one to be segmented")
        if not name:
            raise InputError("model: none given; expected a folder, a preset or a URL")
        chosen, dims = self.channels.currentData(), self._viewer.dims
        in_view, all_slices = self.extent.currentText() == VIEW, self.all_slices.isChecked()
        if chosen == SELECTED:
            images = self._selected_images()
            region = LayerRegion.of_channels(images, dims, in_view=in_view, all_slices=all_slices)
            layer = images[0]
        else:
            region = LayerRegion.of(
                layer, dims, in_view=in_view, all_slices=all_slices, channel_axis=chosen
            )
        placement = region.placement(layer)
        request = SegmentationRequest(
            name,
            region,
            region.pixel_size(layer),
            separate=self.separate.isChecked(),
            accept_values=self.accept_values.isChecked(),
        )

        def work() -> Any:
            found = self._process.run(
                request, report=self._told.emit, warn=self._warned.emit, stop=self._stop
            )
            return region, placement, found

        return work

    def _show_progress(self, done: int, total: int) -> None:
        if self._worker is None:  # told after the end
            return
        self.status.setText(f"{done / total:.0%}" if total else "Opening the model …")
        if self._bar is None or self._bar.total != total:
            self._close_bar()
            bar = progress(total=total, desc="Segment")  # in which Qt may handle the end
            if self._worker is None:
                bar.close()
                return
            self._bar = bar
        self._bar.update(done - self._bar.n)

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _add(self, result: Any) -> None:
        region, placement, found = result
        import pandas

        added = self._viewer.add_labels(
            found.labels,
            name=f"{region.name} segmented",
            features=pandas.DataFrame(found.features) if found.features else None,
            **placement,
        )
        if found.folder is not None:  # is removed with the layer
            added.metadata["temporary_folder"] = found.folder
        self.status.setText(f"{len(found.features):,} in the layer's table of features")

    def _fail(self, error: Exception) -> None:
        if isinstance(error, Cancelled):
            self.status.setText("Cancelled")
        else:
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        if isinstance(error, UserError | OSError | MemoryError):
            text = "\n".join(map(printable, str(error).splitlines())) or type(error).__name__
            self.status.setText(text)
            notifications.show_error(text)
        else:  # a mistake of ours: with its traceback
            self.status.setText(f"{type(error).__name__}: {printable(str(error))}")
            notifications.notification_manager.receive_error(
                type(error), error, error.__traceback__
            )

    def _finish(self) -> None:
        self._worker = None
        self._close_bar()
        self._set_busy(False)

    def _set_busy(self, busy: bool) -> None:
        self.start.setEnabled(not busy)
        self.cancel.setEnabled(busy)


def _closing(stop: threading.Event, process: ModelProcess) -> Any:
    """What ends the work and the process with the widget; it must not hold the widget itself."""

    def close(*_: Any) -> None:
        stop.set()
        process.close()

    return close
