"""Dropout whose random numbers are saved."""

from __future__ import annotations

import keras

from keras_unet3p import compat
from keras_unet3p.layers.saved_random_state import SavedRandomState


@compat.register
class Dropout(SavedRandomState, keras.layers.Dropout):
    """`keras.layers.Dropout` whose random numbers go on after loading where they were at saving.

    Args:
        rate: share of the inputs that are set to zero in training, 0 to 1.
        **kwargs: as `keras.layers.Dropout`.

    Example:
        >>> dropout = ku.layers.Dropout(0.5, seed=1)
        >>> dropout(np.ones((1, 4)), training=False).numpy().tolist()
        [[1.0, 1.0, 1.0, 1.0]]
    """

    def __init__(self, rate: float, **kwargs):
        super().__init__(rate, **compat.STATEFUL_RANDOM_LAYER, **kwargs)
