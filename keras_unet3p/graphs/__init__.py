"""A network's graph read and changed: nodes, sizes, receptive field, freezing, folding."""

from __future__ import annotations

from keras_unet3p.graphs.batch_norm_folding import fold_batch_norm
from keras_unet3p.graphs.freezing import freeze_network
from keras_unet3p.graphs.frozen_network import FrozenNetwork
from keras_unet3p.graphs.network import Network
from keras_unet3p.graphs.network_geometry import network_facts, network_function
from keras_unet3p.graphs.receptive_field import exact_halo

__all__ = [
    "FrozenNetwork",
    "Network",
    "exact_halo",
    "fold_batch_norm",
    "freeze_network",
    "network_facts",
    "network_function",
]
