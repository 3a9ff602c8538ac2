"""Training: strategy choice, the resumable fit, its checkpoints, logs and pictures."""

from keras_unet3p.training.budget import Budget
from keras_unet3p.training.checkpoints import Checkpoints
from keras_unet3p.training.finite_check import FiniteCheck
from keras_unet3p.training.fitting import fit
from keras_unet3p.training.folder_lock import run_lock
from keras_unet3p.training.overlays import OverlayLog
from keras_unet3p.training.pace import Pace
from keras_unet3p.training.progress import EpochProgress
from keras_unet3p.training.strategy import choose_strategy
from keras_unet3p.training.stretch import Stretch
from keras_unet3p.training.warmup_cosine import WarmupCosine
from keras_unet3p.training.weight_average import WeightAverage
from keras_unet3p.training.workers import Workers

__all__ = [
    "Budget",
    "Checkpoints",
    "EpochProgress",
    "FiniteCheck",
    "OverlayLog",
    "Pace",
    "Stretch",
    "WarmupCosine",
    "WeightAverage",
    "Workers",
    "choose_strategy",
    "fit",
    "run_lock",
]
