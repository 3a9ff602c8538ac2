"""What a data set is like, what a machine can do, and the plan of a training made of both."""

from __future__ import annotations

from keras_unet3p.artifacts import Plan, PlanLine
from keras_unet3p.planning.fingerprint import Fingerprint
from keras_unet3p.planning.machine import Machine
from keras_unet3p.planning.memory import training_memory
from keras_unet3p.planning.rules import make_plan

__all__ = ["Fingerprint", "Machine", "Plan", "PlanLine", "make_plan", "training_memory"]
