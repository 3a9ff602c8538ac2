"""TensorBoard pictures of what the network predicts, an epoch a step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p import pictures
from keras_unet3p.files import naming_full_disk
from keras_unet3p.targets.foreground import is_foreground


class OverlayLog(keras.callbacks.Callback):
    """Logs image, truth, prediction and their contours of a few samples to TensorBoard.

    Args:
        folder: the TensorBoard log folder.
        samples: pairs of an image (H, W, C) in unit values and its labels (H, W), of a size that
            the network takes.
        every: epochs between two logs.

    Example:
        >>> import pathlib
        >>> samples = [(np.zeros((32, 32, 1), np.float32), np.zeros((32, 32), np.uint8))]
        >>> callback = ku.training.OverlayLog(pathlib.Path("tensorboard"), samples, every=5)
    """

    def __init__(
        self, folder: Path, samples: Sequence[tuple[np.ndarray, np.ndarray]], *, every: int = 1
    ):
        super().__init__()
        self.folder = folder
        self.samples = list(samples)
        self.every = every
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
                panel = pictures.result_panel(image, truth, to_labels(probability))
                tf.summary.image(f"sample {number}", panel[None])
        self._writer.flush()

    def on_train_end(self, logs=None):
        if self._writer is not None:
            self._writer.close()


def center_crop(value: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle (height, width) of an array (H, W, ...): all that an unpadded network sees."""
    top = (value.shape[0] - height) // 2
    left = (value.shape[1] - width) // 2
    return value[top : top + height, left : left + width]


def to_labels(probability: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Probabilities (H, W, K) to class ids (H, W): a threshold for one class, argmax for more."""
    if probability.shape[-1] == 1:
        return is_foreground(probability[..., 0], threshold).astype(np.uint8)
    return np.argmax(probability, axis=-1).astype(np.uint8)
