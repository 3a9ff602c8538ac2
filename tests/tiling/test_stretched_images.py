"""Networks that have each image stretched by its own percentiles: the whole image, not a tile."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import data, export, graphs, images, models, tiling, training
from keras_unet3p.artifacts import ModelCard
from keras_unet3p.client.client import _check_percentiles
from keras_unet3p.geometry import TileGeometry
from keras_unet3p.images.stretching import intensity_range, stretch
from keras_unet3p.layers.intensity_normalization import expect_stretched, image_percentiles

PERCENTILES = (1.0, 99.8)
RULE = images.Normalization((0.1,), (0.7,), "dtype", (), PERCENTILES)
GEOMETRY = TileGeometry((32, 32), halo=8, stride=4)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(1)
    return models.unet(filters=3, depth=2, normalization=RULE)


@pytest.fixture(scope="module")
def plain(network):
    """The same network for images that are stretched already."""
    plain = models.unet(filters=3, depth=2, normalization=([0.1], [0.7]))
    plain.set_weights(network.get_weights())
    return plain


@pytest.fixture(scope="module")
def image():
    """Dark above, bright below, so that every tile's own percentiles differ from the image's."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0.05, 0.6, 75)[:, np.newaxis]
    return np.rint(255 * ramp * rng.uniform(0.5, 1.0, (75, 90))).astype(np.uint8)[..., np.newaxis]


@pytest.fixture(scope="module")
def stretched(image):
    unit = image.astype(np.float32) / 255
    return stretch(unit, *intensity_range(image, PERCENTILES))


def test_the_model_itself_stretches_each_image_of_a_batch(network, plain, image):
    unit = image[:64, :64].astype(np.float32) / 255
    whole = stretch(unit.copy(), *intensity_range(image[:64, :64], PERCENTILES))
    both = np.stack([unit, unit * np.float32(0.25)])  # a dim copy gives the same mask
    found = network.predict(both, verbose=0)
    expected = plain.predict(whole[np.newaxis], verbose=0)[0]
    np.testing.assert_allclose(found[0], expected, atol=2e-5)
    np.testing.assert_allclose(found[1], expected, atol=1e-3)  # its values are a bin or two off


def test_it_is_saved_and_not_what_a_training_tells_it(network, tmp_path, image):
    unit = image[np.newaxis, :64, :64].astype(np.float32) / 255
    before = network(unit)
    told = keras.models.clone_model(network)
    told.set_weights(network.get_weights())
    expect_stretched(told)
    assert np.abs(told(unit) - before).max() > 1e-3
    told.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert image_percentiles(again) == PERCENTILES
    np.testing.assert_allclose(again(unit), before, atol=1e-6)
    assert again.facts.percentiles == PERCENTILES


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_every_tiler_stretches_the_whole_image(network, plain, image, stretched, dtype):
    given = image if dtype == np.uint8 else (image.astype(np.float32) / 255).astype(np.float32)
    if dtype == np.uint16:
        given = image.astype(np.uint16) * np.uint16(257)
    expected = tiling.predict_image(plain, stretched, geometry=GEOMETRY)
    found = tiling.predict_image(network, given, geometry=GEOMETRY)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    streaming = tiling.StreamingPredictor(network, geometry=GEOMETRY)
    np.testing.assert_allclose(
        streaming.predict(given, kind="probabilities", progress=False), expected, atol=2e-5
    )


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "m"
    return export.export_savedmodel(network, folder, tile_size=32, halo=8)


def test_the_served_graph_stretches_the_whole_image(exported, network, image):
    served = tf.saved_model.load(str(exported))
    card = ModelCard.of_version(exported)
    expected = tiling.predict_image(network, image, geometry=card.geometry)
    assert card.normalization.percentiles == PERCENTILES
    given = tf.constant(np.stack([image, image // 2]))
    found = served.signatures["probabilities"](image=given)["probabilities"]
    np.testing.assert_allclose(found[0], expected, atol=5e-5)
    assert np.mean((found[1] >= 0.5) != (expected >= 0.5)) < 0.02
    png = tf.io.encode_png(image)
    mask = served.signatures["serving_default"](image_bytes=png[tf.newaxis])["mask_bytes"][0]
    ids = tf.io.decode_png(mask)[..., 0].numpy()
    assert np.mean(ids != (expected[..., 0] >= 0.5)) < 1e-3


def test_whoever_cuts_up_images_is_told(exported, image):
    signature = tf.saved_model.load(str(exported)).signatures["tile"]
    assert list(signature.structured_input_signature[1]) == ["stretched_tile"]
    streaming = tiling.StreamingPredictor(exported)
    assert streaming.predict(image, progress=False).shape == image.shape[:2]
    with pytest.raises(ValueError, match="percentiles"):
        _check_percentiles("stretched_tile", None)
    with pytest.raises(ValueError, match="percentiles"):
        _check_percentiles("tile", PERCENTILES)


def test_a_halo_is_found_although_the_whole_image_counts(network, plain):
    assert graphs.exact_halo(network) == graphs.exact_halo(plain)


def test_patches_and_tiles_are_those_of_stretched_images(image, stretched):
    mask = (image[..., 0] > 60).astype(np.uint8)
    opened = data.open_images([image, image // 3], [mask, mask]).stretched_by(PERCENTILES)
    assert opened.normalization().percentiles == PERCENTILES
    tiles = data.validation_pipeline(opened, patch_size=128, batch_size=1)
    bright, dim = (batch[0][0].numpy() for batch in tiles)
    np.testing.assert_allclose(bright[:75, :90], stretched, atol=1e-5)
    assert np.abs(bright - dim).max() < 0.05
    patches = data.training_pipeline(
        opened, patch_size=128, batch_size=2, steps=1, augmentation=data.Augmentation.none()
    )
    first, second = next(iter(patches))[0].numpy()
    assert {round(float(each.max()), 3) for each in (first, second)} == {
        round(float(each.max()), 3) for each in (bright, dim)
    }


def test_contrasts_that_differ_are_noticed(image):
    mask = (image[..., 0] > 60).astype(np.uint8)
    alike = data.open_images([image] * 4, [mask] * 4)
    assert alike.contrast_spread == 1.0
    unlike = data.open_images([image, image // 2, image // 4, image // 8], [mask] * 4)
    assert unlike.contrast_spread > 4


def test_a_continued_training_is_prepared_too(tmp_path, image):
    seen = []

    def build():
        model = models.unet(filters=2, depth=1, normalization=RULE)
        model.compile("sgd", "binary_crossentropy", weighted_metrics=["accuracy"])
        return model

    def batches(*_):
        image, mask = np.zeros((2, 16, 16, 1), np.float32), np.ones((2, 16, 16, 1), np.float32)
        return tf.data.Dataset.from_tensors((image, mask)).repeat()

    for epochs in (1, 2):
        training.fit(
            build,
            batches,
            lambda model: batches().take(1),
            tmp_path,
            epochs=epochs,
            steps_per_epoch=1,
            monitor="val_accuracy",
            prepare=lambda model: (seen.append(model), expect_stretched(model)),
        )
    assert len(seen) == 2


def test_a_network_that_pads_by_itself_refuses():
    with pytest.raises(ValueError, match="normalization: percentiles"):
        models.fcn(filters=2, encoder="plain", dense_filters=2, normalization=RULE)


@pytest.mark.parametrize("percentiles", [(5.0, 5.0), (-1.0, 99.0), (1.0, 101.0), (1.0,)])
def test_percentiles_that_are_none_are_refused(percentiles):
    with pytest.raises(ValueError, match="percentiles"):
        models.unet(
            filters=2,
            depth=1,
            normalization={"mean": 0.0, "std": 1.0, "percentiles": percentiles},
        )


def test_the_card_of_other_formats_tells(network, tmp_path):
    pytest.importorskip("tensorflow.lite")
    path = export.export_litert(network, tmp_path / "m.tflite", tile_size=32)
    card = ModelCard.read(path.with_suffix(".model_card.json"))
    assert card.normalization.percentiles == PERCENTILES
