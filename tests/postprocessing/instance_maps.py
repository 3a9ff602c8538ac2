"""Maps of instances, of any kind and as a network could give them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import ndimage

from keras_unet3p import data
from keras_unet3p.postprocessing import InstanceRule

_LEVELS = st.sampled_from(
    np.array([0.0, 0.2, 0.4, 0.5, 0.6, 0.9, 1.0, np.nan], np.float32).tolist()
)
MAPS = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 2)).flatmap(
    lambda shape: st_numpy.arrays(
        np.float32, shape, elements=st.one_of(_LEVELS, st.floats(0, 1, width=32))
    )
)
RULES = st.builds(
    InstanceRule,
    threshold=st.sampled_from([0.2, 0.5]),
    seed_threshold=st.sampled_from([0.4, 0.6, 0.9]),
    smallest_seed=st.integers(0, 4),
    smallest_object=st.integers(0, 6),
    smoothing=st.sampled_from([0, 0, 1, 2]),
)


def noisy_cells(size=256, seed=3):
    """Generated cells, and maps as a network could give them."""
    _, labels = data.generate_cells(size, seed=seed)
    core = np.zeros(labels.shape)
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        inside = np.pad(labels[window] == number, 1)
        depth = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
        core[window] = np.maximum(core[window], depth / depth.max())
    rng = np.random.default_rng(seed)
    maps = [
        ndimage.gaussian_filter(values, 1.0) + rng.normal(0.0, 0.04, labels.shape)
        for values in ((labels > 0).astype(float), core)
    ]
    return labels, np.clip(np.stack(maps, -1), 0, 1).astype(np.float32)
