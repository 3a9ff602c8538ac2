"""The registry says what the rooms with TensorFlow have."""

import inspect
import subprocess
import sys

import pytest

from keras_unet3p import config, losses, models
from keras_unet3p.config.training_config import NETWORK_OPTIONS


@pytest.mark.parametrize("name", config.ARCHITECTURES)
def test_an_architecture_has_the_options_of_its_builder(name):
    architecture = config.ARCHITECTURES[name]
    arguments = inspect.signature(models.ARCHITECTURES[name]).parameters
    assert architecture.options == set(NETWORK_OPTIONS) & set(arguments)
    assert architecture.encoder == arguments["encoder"].default
    assert set(architecture.training) <= architecture.options


def test_every_architecture_can_be_trained():
    assert set(config.ARCHITECTURES) == set(models.ARCHITECTURES)


def test_every_loss_can_be_trained_with():
    # That of instances is "auto", where a network learns them.
    own = {
        name
        for name in losses.__all__
        if issubclass(getattr(losses, name), losses.SegmentationLoss)
    }
    assert set(config.LOSSES.values()) == own - {"SegmentationLoss", "InstanceLoss"}


def test_encoders_are_those_of_the_models():
    assert config.ENCODERS == models.ENCODERS


def test_the_configuration_needs_no_tensorflow():
    code = "import sys, keras_unet3p.config; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
