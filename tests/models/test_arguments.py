"""Arguments that all builders have in common."""

import warnings

import keras
import pytest

from keras_unet3p import models


def network(image, **options):
    return models.unet(input_tensor=image, filters=2, depth=1, **options).features["mask"]


def test_two_networks_in_one_model_need_two_prefixes():
    image = keras.Input((8, 8, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        first = network(image)
        second = network(keras.layers.Concatenate()([image, first]), prefix="second_")
        keras.Model(image, second)
    with pytest.raises(ValueError, match="prefix: the tensor is made by a network with prefix=''"):
        models.unet3plus(input_tensor=keras.layers.Rescaling(2.0)(second), filters=2, depth=1)
    for tensor in (image, keras.layers.Rescaling(2.0)(image)):
        with pytest.warns(UserWarning, match="already goes into a network with prefix=''") as told:
            network(tensor)
        assert __file__ in [x.filename for x in told if str(x.message).startswith("prefix")]
