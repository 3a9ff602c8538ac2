"""Training: strategy choice, the resumable fit, its checkpoints, logs and pictures."""

from keras_unet3p.training.checkpoints import Checkpoints
from keras_unet3p.training.finite_check import FiniteCheck
from keras_unet3p.training.fitting import fit, run_lock
from keras_unet3p.training.overlays import OverlayLog
from keras_unet3p.training.progress import EpochProgress
from keras_unet3p.training.strategy import choose_strategy

__all__ = [
    "Checkpoints",
    "EpochProgress",
    "FiniteCheck",
    "OverlayLog",
    "choose_strategy",
    "fit",
    "run_lock",
]
