"""What a mask and a sample weight may be, once, for losses, metrics and models."""

from __future__ import annotations

from keras_unet3p.targets.instances import instance_maps

__all__ = ["instance_maps"]
