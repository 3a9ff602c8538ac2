"""What a training, an evaluation and an export leave behind: typed, written and read by one class.

No TensorFlow here. Every JSON file has the number of its format, and a file of a newer format is
refused.
"""

from keras_unet3p.artifacts.card_normalization import CardNormalization
from keras_unet3p.artifacts.card_training import CardTraining
from keras_unet3p.artifacts.data_record import DataRecord
from keras_unet3p.artifacts.evaluation_report import EvaluationReport
from keras_unet3p.artifacts.folds_record import FoldsRecord, read_folds
from keras_unet3p.artifacts.history import History
from keras_unet3p.artifacts.model_card import ModelCard
from keras_unet3p.artifacts.model_source import ModelSource
from keras_unet3p.artifacts.model_versions import newest_version, version_folders
from keras_unet3p.artifacts.plan import Plan, PlanLine
from keras_unet3p.artifacts.postprocessing_record import PostprocessingRecord
from keras_unet3p.artifacts.preset import Preset
from keras_unet3p.artifacts.run_folder import RunFolder
from keras_unet3p.artifacts.run_record import RunRecord

__all__ = [
    "CardNormalization",
    "CardTraining",
    "DataRecord",
    "EvaluationReport",
    "FoldsRecord",
    "History",
    "ModelCard",
    "ModelSource",
    "Plan",
    "PlanLine",
    "PostprocessingRecord",
    "Preset",
    "RunFolder",
    "RunRecord",
    "newest_version",
    "read_folds",
    "version_folders",
]
