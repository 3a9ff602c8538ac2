"""The model card."""

import json

import pytest

from keras_unet3p.artifacts import ModelCard
from keras_unet3p.artifacts.model_card import CARD_FILE
from keras_unet3p.errors import InputError
from keras_unet3p.geometry import TileGeometry

# As version 0.1.0 wrote it.
CARD = {
    "format": 1,
    "name": "unet",
    "classes": ["background", "cell"],
    "num_classes": 1,
    "input_channels": 1,
    "geometry": TileGeometry((64, 64), halo=8, stride=4, blend=2).to_dict(),
    "tile": [64, 64],
    "halo": 8,
    "core": [48, 48],
    "threshold": None,
    "multi_label": False,
    "normalization": {"value_scale": "raw", "input_dtype": "float32", "mean": [0.5], "std": [0.25]},
    "max_pixels": 100,
    "max_batch_pixels": 200,
    "test_time_augmentation": 1,
    "parameters": 12,
    "training": {"mask_kind": "classes", "class_values": [0, 255], "separation": 2, "dice": 0.9},
    "versions": {"keras_unet3p": "0.1.0"},
    "sha256": {"saved_model.pb": "0"},
}


@pytest.fixture
def version(tmp_path):
    """A version folder with a card of these entries."""

    def write(card):
        path = tmp_path / CARD_FILE
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(card))
        return tmp_path

    return write


def test_the_entries_and_their_order_stay(version):
    card = ModelCard.of_version(version(CARD))
    assert json.dumps(card.to_dict()) == json.dumps(CARD)


def test_entries_are_typed(version):
    card = ModelCard.of_version(version(CARD))
    assert card.geometry == TileGeometry((64, 64), halo=8, stride=4, blend=2)
    assert card.normalization.is_raw
    assert card.training.class_values == [0, 255]
    assert card.training.stored_values is None


@pytest.mark.parametrize(
    "name",
    [
        "format",
        "name",
        "classes",
        "multi_label",
        "max_pixels",
        "test_time_augmentation",
        "versions",
    ],
)
def test_a_card_may_lack_what_nothing_is_read_for(version, name):
    earlier = {key: value for key, value in CARD.items() if key != name}
    card = ModelCard.of_version(version(earlier))
    assert not card.multi_label
    assert card.to_dict() == {"format": 1, **earlier}


@pytest.mark.parametrize(
    "name", ["input_channels", "geometry", "threshold", "normalization", "training", "sha256"]
)
def test_the_card_of_a_saved_model_has_what_its_readers_need(version, name):
    lacking = {key: value for key, value in CARD.items() if key != name}
    with pytest.raises(InputError, match=rf"model_card\.json is damaged \(it lacks '{name}"):
        ModelCard.of_version(version(lacking))


def test_a_geometry_that_does_not_fit_is_damage(version):
    for geometry in ({"tile": [64, 64]}, {"tile": [8, 8], "halo": 8}, {"a": 1}, [], None):
        with pytest.raises(InputError, match=r"model_card\.json is damaged \('geometry'"):
            ModelCard.of_version(version({**CARD, "geometry": geometry}))


def test_a_folder_of_another_program_has_none(tmp_path):
    assert ModelCard.of_version(tmp_path) is None
