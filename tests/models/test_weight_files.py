"""Weights go to the layers of the same name, whatever else the two networks have."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

from keras_unet3p import models
from keras_unet3p.models import weight_files


def nested(mode="fast", depth=2):
    return models.unetplusplus(filters=2, depth=depth, deep_supervision=True, mode=mode)


def full_scale(deep_supervision):
    return models.unet3plus(filters=2, depth=2, deep_supervision=deep_supervision)


def write(model, folder, ending):
    path = folder / f"model{ending}"
    if ending == ".keras":
        model.save(path)
    else:
        model.save_weights(path)
    return path


def change(model):
    model.set_weights([weight + 1 for weight in model.get_weights()])


def weights(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def assert_taken_from(before, model):
    for name, found in weights(model).items():
        for one, other in zip(found, before[name], strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


@pytest.mark.parametrize("modes", [("fast", "accurate"), ("accurate", "fast")])
def test_both_modes_of_unetplusplus_have_the_same_weights_in_the_same_order(modes, tmp_path):
    source, target = (nested(mode) for mode in modes)
    before = weights(source)
    assert [*before] == [*weights(target)]
    assert [*before][-2:] == ["mask_2_conv", "mask_1_conv"]
    target.set_weights(source.get_weights())
    assert_taken_from(before, target)
    path = write(source, tmp_path, ".weights.h5")
    change(target)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        target.load_weights(path)
    assert_taken_from(before, target)


@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
def test_a_network_with_fewer_heads_takes_the_weights_that_it_has(ending, tmp_path):
    for source, target in (
        (full_scale(True), full_scale(False)),
        (nested(), models.prune_unetplusplus(nested(), 1)),
    ):
        change(source)
        path = write(source, tmp_path, ending)
        with pytest.warns(UserWarning, match="their weights are not used"):
            target.load_weights(path)
        assert_taken_from(weights(source), target)


def test_a_network_with_more_heads_is_told_what_it_lacks(tmp_path):
    target = full_scale(True)
    path = write(full_scale(False), tmp_path, ".weights.h5")
    before = weights(target)
    expected = r"holds no weights for layers 'mask_d2_conv', 'mask_e3_conv'"
    with pytest.raises(ValueError, match=expected):
        target.load_weights(path)
    assert_taken_from(before, target)


def test_a_file_in_another_order_is_not_loaded_by_position(tmp_path):
    target = nested()
    rows = weight_files.read_record(weight_files.record(target))
    heads = [i for i, row in enumerate(rows) if row.identity in ("mask_1_conv", "mask_2_conv")]
    other = list(rows)
    other[heads[0]], other[heads[1]] = rows[heads[1]], rows[heads[0]]
    weight_files.check_same(rows, rows, target.name)
    with pytest.raises(ValueError, match="in another order"):
        weight_files.check_same(other, rows, target.name)


def test_layers_that_keras_names_are_told_apart_by_their_number(tmp_path):
    def build():
        image = keras.Input((8, 8, 1))
        x = keras.layers.Conv2D(2, 1)(image)
        return models.SegmentationModel(image, keras.layers.Conv2D(1, 1, activation="sigmoid")(x))

    source, target = build(), build()
    assert [*weights(source)] != [*weights(target)]
    change(source)
    target.load_weights(write(source, tmp_path, ".weights.h5"))
    for one, other in zip(target.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_file_without_names_is_loaded_as_keras_does(tmp_path):
    source, target = full_scale(False), full_scale(False)
    plain = keras.Model(source.inputs, source.outputs)
    change(target)
    target.load_weights(write(plain, tmp_path, ".weights.h5"))
    assert_taken_from(weights(source), target)


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5"])
def test_hdf5_is_refused_before_anything_is_written(name, tmp_path):
    model = models.unet(filters=2, depth=1)
    with pytest.raises(ValueError, match=r"\.keras.*\.weights\.h5"):
        model.save(tmp_path / name)
    assert not any(tmp_path.iterdir())
