"""Random numbers of layers that go on after loading where they were at saving."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_unet3p import compat

_KEY = "random_state_"


class SavedRandomState:
    """Mixin of layers and models: the state of all random numbers inside goes into the files.

    Keras leaves it out, and a training that is continued from a file then draws other numbers than
    one that went on. It is no weight: `get_weights` and the number of parameters do not know it.

    Example:
        >>> class Noise(SavedRandomState, keras.layers.GaussianNoise):
        ...     pass
    """

    def save_own_variables(self, store):
        parent: Any = super()
        parent.save_own_variables(store)
        for i, state in enumerate(compat.random_states(self)):
            store[f"{_KEY}{i}"] = state.numpy()

    def load_own_variables(self, store):
        parent: Any = super()
        keys = list(store.keys())
        parent.load_own_variables({key: store[key] for key in keys if not key.startswith(_KEY)})
        for i, state in enumerate(compat.random_states(self)):
            key = f"{_KEY}{i}"
            # Absent in files of earlier versions; of another shape in those of the other Keras.
            saved = np.asarray(store[key]) if key in keys else None
            if saved is not None and saved.shape == tuple(state.shape):
                state.assign(saved)
