"""Export of trained models for TensorFlow Serving and other runtimes."""

from __future__ import annotations

from keras_unet3p.export.image_decoder import ImageDecoder
from keras_unet3p.export.saved_model import export_savedmodel
from keras_unet3p.export.warmup import warmup_record

__all__ = ["ImageDecoder", "export_savedmodel", "warmup_record"]
