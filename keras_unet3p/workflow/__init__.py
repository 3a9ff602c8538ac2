"""The whole jobs, as functions: what the command `unet3p` does, for scripts.

Other rooms each do one thing and know little of one another; these functions put them together.
What is in it is imported when it is first used: `convert` needs no TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_unet3p._lazy_names import lazy_names
from keras_unet3p.config import TrainingConfig

if TYPE_CHECKING:
    from keras_unet3p.workflow.bioimageio_export import export_bioimageio
    from keras_unet3p.workflow.checking import DataCheck, check
    from keras_unet3p.workflow.cluster_prediction import predict_on_cluster
    from keras_unet3p.workflow.comparison import Disagreement, compare
    from keras_unet3p.workflow.converting import Conversion, convert
    from keras_unet3p.workflow.cross_validation import cross_validate
    from keras_unet3p.workflow.evaluation import evaluate
    from keras_unet3p.workflow.exporting import export
    from keras_unet3p.workflow.needs import SIDES, Capacity, Need, capacity
    from keras_unet3p.workflow.opening import open_model
    from keras_unet3p.workflow.planning import plan, plan_of_run
    from keras_unet3p.workflow.prediction import predict
    from keras_unet3p.workflow.predictor import Predictor
    from keras_unet3p.workflow.quick_start import quickstart
    from keras_unet3p.workflow.quickstart_result import QuickstartResult
    from keras_unet3p.workflow.serving import serve
    from keras_unet3p.workflow.training import train
    from keras_unet3p.workflow.verification import verify

__all__ = [
    "SIDES",
    "Capacity",
    "Conversion",
    "DataCheck",
    "Disagreement",
    "Need",
    "Predictor",
    "QuickstartResult",
    "TrainingConfig",
    "capacity",
    "check",
    "compare",
    "convert",
    "cross_validate",
    "evaluate",
    "export",
    "export_bioimageio",
    "open_model",
    "plan",
    "plan_of_run",
    "predict",
    "predict_on_cluster",
    "quickstart",
    "serve",
    "train",
    "verify",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Capacity": "needs",
        "Conversion": "converting",
        "DataCheck": "checking",
        "Disagreement": "comparison",
        "Need": "needs",
        "Predictor": "predictor",
        "QuickstartResult": "quickstart_result",
        "SIDES": "needs",
        "capacity": "needs",
        "check": "checking",
        "compare": "comparison",
        "convert": "converting",
        "cross_validate": "cross_validation",
        "evaluate": "evaluation",
        "export": "exporting",
        "export_bioimageio": "bioimageio_export",
        "open_model": "opening",
        "plan": "planning",
        "plan_of_run": "planning",
        "predict": "prediction",
        "predict_on_cluster": "cluster_prediction",
        "quickstart": "quick_start",
        "serve": "serving",
        "train": "training",
        "verify": "verification",
    },
)
