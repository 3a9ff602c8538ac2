"""The whole jobs, as functions: what the command `unet3p` does, for scripts.

Other rooms each do one thing and know little of one another; these functions put them together.
"""

from keras_unet3p.config import TrainingConfig
from keras_unet3p.workflow.evaluate import evaluate
from keras_unet3p.workflow.export import export
from keras_unet3p.workflow.predict import predict
from keras_unet3p.workflow.quickstart import QuickstartResult, quickstart
from keras_unet3p.workflow.serve import serve
from keras_unet3p.workflow.train import train

__all__ = [
    "QuickstartResult",
    "TrainingConfig",
    "evaluate",
    "export",
    "predict",
    "quickstart",
    "serve",
    "train",
]
