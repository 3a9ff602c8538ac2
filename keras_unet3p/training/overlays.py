"""TensorBoard pictures of the predictions, one step per epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p.files import naming_full_disk
from keras_unet3p.images import pictures
from keras_unet3p.postprocessing.class_ids import to_class_ids


class OverlayLog(keras.callbacks.Callback):
    """Logs image, truth, prediction and their contours of a few samples to TensorBoard.

    Args:
        folder: the TensorBoard log folder.
        samples: pairs of an image (H, W, C) in unit values and its labels (H, W), of a size that
            the network takes.
        every: number of epochs between two logs.
        segment: makes labels (H, W) of what the network says of a sample, (h, w, K).

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> sample = np.zeros((32, 32, 1), np.float32), np.zeros((32, 32), np.uint8)
        >>> log = OverlayLog(pathlib.Path(tempfile.gettempdir()), [sample], every=5)
        >>> len(log.samples)
        1
    """

    def __init__(
        self,
        folder: Path,
        samples: Sequence[tuple[np.ndarray, np.ndarray]],
        *,
        every: int = 1,
        segment: Callable[[np.ndarray], np.ndarray] = to_class_ids,
    ):
        super().__init__()
        self.folder = folder
        self.samples = list(samples)
        self.every = every
        self.segment = segment
        self._writer: Any = None

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        with naming_full_disk(self.folder / "overlays"):
            self._log(epoch)

    def _log(self, epoch: int) -> None:
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.folder / "overlays"))
        model: Any = self.model
        with self._writer.as_default(step=epoch + 1):
            for number, (image, truth) in enumerate(self.samples):
                probability = np.asarray(model(image[None], training=False))[0]
                height, width = probability.shape[:2]
                image, truth = (center_crop(value, height, width) for value in (image, truth))
                panel = pictures.result_panel(image, truth, self.segment(probability))
                tf.summary.image(f"sample {number}", panel[None])
        self._writer.flush()

    def on_train_end(self, logs=None):
        if self._writer is not None:
            self._writer.close()


def center_crop(value: np.ndarray, height: int, width: int) -> np.ndarray:
    """The central (height, width) of an array (H, W, ...), as an unpadded network outputs it."""
    top = (value.shape[0] - height) // 2
    left = (value.shape[1] - width) // 2
    return value[top : top + height, left : left + width]
