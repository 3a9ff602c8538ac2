"""The configuration of a training run, and the registry of what may be chosen in it.

No TensorFlow here: a wrong choice is told at once, and the command line knows its options before it
imports anything.
"""

from keras_unet3p.config.callback_choice import CallbackChoice
from keras_unet3p.config.choices import (
    ARCHITECTURES,
    CONTRAST_SPREAD,
    ENCODERS,
    INSTANCES,
    LOSSES,
    MASK_KINDS,
    MAX_PAGES,
    MAX_PIXELS,
    MEASURES,
    MEASURES_OF_OBJECTS,
    PERCENTILES,
    Architecture,
)
from keras_unet3p.config.cluster import Cluster, read_tf_config, tf_config
from keras_unet3p.config.loss_choice import LossTerm, loss_terms
from keras_unet3p.config.reading_choices import CT_WINDOWS, SLICE_AXES, ReadingChoices
from keras_unet3p.config.run_file import (
    FOUND_IN_DATA,
    RUN_FORMAT,
    DataChoices,
    RunChoices,
    read_run_file,
)
from keras_unet3p.config.training_config import TrainingConfig

__all__ = [
    "ARCHITECTURES",
    "CONTRAST_SPREAD",
    "CT_WINDOWS",
    "ENCODERS",
    "FOUND_IN_DATA",
    "INSTANCES",
    "LOSSES",
    "MASK_KINDS",
    "MAX_PAGES",
    "MAX_PIXELS",
    "MEASURES",
    "MEASURES_OF_OBJECTS",
    "PERCENTILES",
    "RUN_FORMAT",
    "SLICE_AXES",
    "Architecture",
    "CallbackChoice",
    "Cluster",
    "DataChoices",
    "LossTerm",
    "ReadingChoices",
    "RunChoices",
    "TrainingConfig",
    "loss_terms",
    "read_run_file",
    "read_tf_config",
    "tf_config",
]
