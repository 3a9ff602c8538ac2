"""One way to ask any trained thing for probabilities or labels: run, model file, SavedModel, endpoint."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_unet3p import models, tiling  # noqa: F401  (models registers what `.keras` files hold)
from keras_unet3p.workflow.config import read_run_config

Predictor = Callable[[np.ndarray], np.ndarray]
"""Takes an image (H, W, C) in unit values, gives probabilities (H, W, K)."""


def load_run(run: str | os.PathLike[str]) -> tuple[keras.Model, dict[str, Any]]:
    """The best model of a run folder, and the run's configuration.

    Raises:
        ValueError: no run folder, or one whose training has not finished its first epoch.
    """
    run = Path(run)
    config = read_run_config(run)
    best = run / "best.keras"
    if not best.is_file():
        raise ValueError(f"{run} holds no best.keras yet: its training has not finished an epoch")
    return keras.models.load_model(best, compile=False), config
