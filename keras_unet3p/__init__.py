"""U-Net and UNet 3+ for TensorFlow and Keras.

The rooms of the package are imported when they are first used, so that light ones (the client,
the tile geometry) do not import TensorFlow.
"""

# No `from __future__ import annotations`, which would take the name of a room.
import importlib
from typing import TYPE_CHECKING

from keras_unet3p._after_keras import after_keras
from keras_unet3p._version import __version__

if TYPE_CHECKING:
    from keras_unet3p import (
        annotations,
        artifacts,
        client,
        data,
        endpoint,
        export,
        graphs,
        images,
        layers,
        losses,
        metrics,
        models,
        optimizers,
        planning,
        postprocessing,
        targets,
        tiling,
        training,
        workflow,
    )
    from keras_unet3p.images.shown import show

__all__ = [
    "__version__",
    "annotations",
    "artifacts",
    "client",
    "data",
    "endpoint",
    "export",
    "graphs",
    "images",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "planning",
    "postprocessing",
    "show",
    "targets",
    "tiling",
    "training",
    "workflow",
]


def __getattr__(name: str):
    if name == "show":
        return importlib.import_module(f"{__name__}.images.shown").show
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


# Keras finds our classes in saved models only once they are registered:
# `import keras, keras_unet3p; keras.models.load_model(...)`, in either order of the imports.
after_keras(__name__, ("layers", "losses", "metrics", "models", "optimizers"))
