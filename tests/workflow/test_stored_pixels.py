"""Predictors take pixels as they are stored, whatever kind of model they ask."""

import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import images, models, tiling
from keras_unet3p.export import export_savedmodel
from keras_unet3p.images.unit_values import as_type, scaled
from keras_unet3p.workflow import open_model

RNG = np.random.default_rng(0)
EIGHT = RNG.integers(0, 256, (40, 50, 1), np.uint8)
SIXTEEN = RNG.integers(0, 65536, (40, 50, 1), np.uint16)
FLOATS = RNG.random((40, 50, 1), np.float32)


@pytest.fixture(scope="module")
def network():
    return models.unet(input_shape=(None, None, 1), filters=2, depth=1)


@pytest.fixture
def file(network, tmp_path):
    network.save(tmp_path / "network.keras")
    return tmp_path / "network.keras"


@pytest.mark.parametrize("stored", [EIGHT, SIXTEEN], ids=["uint8", "uint16"])
def test_a_keras_model_is_given_the_stored_integers(file, monkeypatch, stored):
    given = []
    monkeypatch.setattr(tiling, "predict_image", lambda model, image, **_: given.append(image))
    open_model(file).labels(stored)
    assert given[0] is stored


@pytest.mark.parametrize("stored", [np.int16, np.float64, bool])
def test_a_keras_model_is_given_unit_values_of_other_types(file, stored):
    pixels = (FLOATS * (32767 if stored == np.int16 else 1) + (stored is bool) * 0.5).astype(stored)
    expected = tiling.predict_image(load_network(file), scaled(pixels), kind="classes")
    np.testing.assert_array_equal(open_model(file).labels(pixels), expected)


def load_network(file):
    from keras_unet3p.tiling.keras_file import load_network

    return load_network(file)


@pytest.mark.parametrize("stored", [EIGHT, SIXTEEN, FLOATS], ids=["uint8", "uint16", "float32"])
@pytest.mark.parametrize("pixels", ["uint8", "float32"])
def test_an_export_is_given_what_its_signature_takes(network, tmp_path, stored, pixels):
    version = export_savedmodel(network, tmp_path / "m", tile_size=32, input_dtype=pixels)
    signature = tf.saved_model.load(str(version)).signatures["classes"]
    taken = as_type(stored, "unit", pixels)
    assert taken is stored or stored.dtype != np.uint8 or pixels != "uint8"
    expected = signature(image=tf.constant(taken[None]))["class_ids"][0]
    np.testing.assert_array_equal(open_model(version).labels(stored), expected)


@pytest.mark.parametrize(
    ("stored", "sent"),
    [(EIGHT, np.uint8), (SIXTEEN, np.uint16), (FLOATS.astype(np.float64), np.float32)],
)
def test_an_endpoint_is_sent_the_stored_integers(monkeypatch, stored, sent):
    given = []

    class Endpoint:
        def __init__(self, *_, **__):
            pass

        def metadata(self):
            return {"signatures": {}}

        def card(self):
            return None

        def predict(self, image):
            given.append(image)
            return image[..., 0]

    monkeypatch.setattr("keras_unet3p.client.address.Client", Endpoint)
    open_model("http://localhost:1/m").labels(stored)
    assert given[0].dtype == sent
    assert given[0] is stored or sent == np.float32


def test_a_file_gives_its_stored_pixels_once_they_are_checked(tmp_path):
    np.save(tmp_path / "image.npy", EIGHT)
    file = images.ImageFile(tmp_path / "image.npy")
    np.testing.assert_array_equal(file.stored(0), EIGHT)
    np.testing.assert_array_equal(file[0], scaled(EIGHT))
    np.save(tmp_path / "image.npy", FLOATS * 200)
    file = images.ImageFile(tmp_path / "image.npy", value_scale="unit")
    with pytest.raises(ValueError, match=r"image\.npy: float32 values"):
        file.stored(0)
