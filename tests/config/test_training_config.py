"""The choices of a training run are checked before anything is read."""

import inspect
import math

import pytest

from keras_unet3p.config import ENCODERS, TrainingConfig
from keras_unet3p.errors import InputError, ProblemsError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"architecture": "segnet"},
            r"architecture must be one of \['unet3plus', .*found 'segnet'",
        ),
        (
            {"architecture": "unet", "batch_norm_synchronized": True},
            "batch_norm_synchronized: it has no effect without batch_norm",
        ),
        ({"strategy": "mirored"}, r"strategy must be one of .*'mirrored'.* found 'mirored'"),
        ({"encoder": "resnet5"}, r"encoder must be one of .*'resnet50'.* found 'resnet5'"),
        ({"loss": "l1"}, r"loss must be one of .*'cl_dice'.* found 'l1'"),
        ({"loss": "dice+"}, r"loss must be one of .*, or a sum of them .* found 'dice\+'"),
        ({"loss": "auto+dice"}, "loss must be one of"),
        ({"loss": "-1*dice"}, "loss must be one of"),
        ({"loss": "0*dice+focal"}, r"loss must have weights above 0, found '0\*dice'"),
        ({"loss": "dice+focal+dice"}, "loss must name each loss once, found dice twice"),
        ({"loss": 3}, "loss must be"),
        ({"mixed_precision": "float16"}, "mixed_precision must be one of"),
        ({"steps_per_epoch": 0}, "steps_per_epoch must be at least 1, found 0"),
        ({"filters": 0}, "filters must be at least 1, found 0"),
        ({"learning_rate": -1}, "learning_rate must be above 0, found -1"),
        ({"learning_rate": math.nan}, "learning_rate must be finite, found nan"),
        ({"learning_rate": "1e-3"}, "learning_rate must be a number, found '1e-3'"),
        ({"hours": 0}, "hours must be above 0, found 0"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0, found -1"),
        ({"weight_decay": -1e-4}, "weight_decay must be at least 0, found -0.0001"),
        ({"weight_average": 1.0}, "weight_average must be below 1, found 1.0"),
        ({"patience": -3}, "patience must be at least 1, found -3"),
        ({"validation": 1.5}, "validation must be below 1, found 1.5"),
        ({"separation": -1}, "separation must be at least 0, found -1"),
        ({"seed": -1}, "seed must be at least 0, found -1"),
        ({"epochs": True}, "epochs must be a whole number, found True"),
        ({"augment": 1}, "augment must be true or false, found 1"),
        ({"border_weights": 1}, "border_weights must be one of"),
        ({"encoder_weights": ""}, "encoder_weights: "),
        ({"filtres": 8}, "'filtres' is no option; did you mean 'filters'"),
        ({"x\n": 8}, r"'x\\n' is no option; there are architecture, filters, "),
        ({"architecture": "fcn", "depth": 3}, "depth: architecture 'fcn' has no such option"),
        ({"architecture": "fcn", "filters": 8}, "filters: they have no effect on FCN"),
        (
            {"architecture": "unet", "classification_guided": True},
            "classification_guided: architecture 'unet' has no such option; unet3plus has",
        ),
        ({"padding": "valid"}, "padding: architecture 'unet3plus' has no such option; unet has"),
        ({"encoder_weights": "imagenet"}, "encoder_weights: the plain encoder has no ready"),
        ({"encoder": "vgg16", "depth": 3}, "depth: encoder 'vgg16' has 4 poolings, found 3"),
        (
            {"architecture": "unet", "encoder": "vgg16", "padding": "valid"},
            "padding: encoder 'vgg16' is padded",
        ),
    ],
)
def test_what_is_not_acceptable_is_refused_by_name(options, message):
    with pytest.raises(InputError, match=f"^{message}"):
        TrainingConfig(**options)


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(ProblemsError) as raised:
        TrainingConfig(filters=0, loss="l1", hello=1)
    assert [line.split()[0] for line in raised.value.problems] == ["filters", "loss", "'hello'"]


def test_choices_that_were_not_made_leave_the_architecture_as_it_is():
    for architecture in ("unet", "attention_unet", "fcn"):
        assert TrainingConfig(architecture=architecture).network_options() == {}
    # A run adds side outputs where there are any; the network that predicts is the same.
    for architecture in ("unet3plus", "unetplusplus"):
        options = TrainingConfig(architecture=architecture).network_options()
        assert options == {"deep_supervision": True}


def test_choices_that_were_made_reach_the_builder():
    config = TrainingConfig(
        batch_norm=False, depth=2, deep_supervision=False, architecture="unetplusplus"
    )
    assert config.network_options() == {"batch_norm": False, "depth": 2, "deep_supervision": False}
    fcn = TrainingConfig(architecture="fcn", encoder="plain", filters=8)
    assert fcn.network_options() == {"encoder": "plain", "filters": 8}
    assert TrainingConfig(architecture="fcn", encoder_weights="imagenet").encoder is None


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_configuration_is_what_its_dictionary_makes(encoder):
    config = TrainingConfig(encoder=encoder, learning_rate=1, border_weights=True)
    assert TrainingConfig(**config.to_dict()) == config
    with pytest.raises(ValueError, match="frozen"):
        config.encoder = None


def test_help_shows_every_option_with_type_default_and_meaning():
    parameters = inspect.signature(TrainingConfig).parameters
    assert list(parameters) == list(TrainingConfig.model_fields)
    assert str(parameters["depth"]) == "depth: int | None = None"
    for name, field in TrainingConfig.model_fields.items():
        assert field.description, name
        assert f"{name}: {field.description}" in TrainingConfig.__doc__
