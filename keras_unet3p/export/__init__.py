"""Export of trained models to TensorFlow Serving and other runtimes."""

from __future__ import annotations

from keras_unet3p.export.bioimageio_package import export_bioimageio
from keras_unet3p.export.cards import model_card
from keras_unet3p.export.image_decoder import ImageDecoder
from keras_unet3p.export.litert_file import export_litert
from keras_unet3p.export.onnx_file import export_onnx
from keras_unet3p.export.openvino_file import export_openvino
from keras_unet3p.export.package_text import PackageText
from keras_unet3p.export.saved_model import export_savedmodel
from keras_unet3p.export.warmup import warmup_record

__all__ = [
    "ImageDecoder",
    "PackageText",
    "export_bioimageio",
    "export_litert",
    "export_onnx",
    "export_openvino",
    "export_savedmodel",
    "model_card",
    "warmup_record",
]
