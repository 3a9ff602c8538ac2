"""What CONTRIBUTING.md shows is true."""

import doctest
import inspect
import re
from pathlib import Path

import keras
import numpy as np

from keras_unet3p import config, losses, models

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
CODE = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)


def test_the_loss_of_the_example_is_a_loss(tmp_path):
    names: dict = {}
    exec(CODE[0], names)
    loss = names["Brier"](ignore_class=255)
    mask = np.array([[[1, 0], [255, 0]]])
    prediction = np.array([[[0.5, 0.0], [0.0, 0.0]]], np.float32)[..., np.newaxis]
    np.testing.assert_allclose(loss(mask, prediction), 0.25 / 3, rtol=1e-6)

    image, mask = np.zeros((2, 16, 16, 1), np.float32), np.ones((2, 16, 16), np.int32)
    model = models.unet(filters=2, depth=1)
    model.compile("sgd", names["Brier"]() + 0.5 * losses.Dice())
    before = model.evaluate(image, mask, verbose=0)
    model.fit(image, mask, epochs=3, verbose=0)
    assert model.evaluate(image, mask, verbose=0) < before
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    after = model.evaluate(image, mask, verbose=0)
    np.testing.assert_allclose(again.evaluate(image, mask, verbose=0), after, rtol=1e-5)


def test_the_architecture_of_the_example_is_one(tmp_path):
    names: dict = {}
    exec(CODE[1], names)
    builder = names["sum_unet"]
    # What the line of the registry promises.
    promised = config.ARCHITECTURES["attention_unet"].options
    assert promised <= set(inspect.signature(builder).parameters)
    assert "sum_unet" not in config.ARCHITECTURES, "choose another name for the example"
    (example,) = doctest.DocTestFinder().find(builder, "sum_unet", globs=names)
    assert doctest.DocTestRunner().run(example) == (0, 1)  # failed, tried

    model = builder(num_classes=3, filters=[2, 3, 4], batch_norm=True, prefix="a_")
    model.compile("sgd", losses.Dice())
    random = np.random.default_rng(0)
    image, mask = random.random((2, 20, 24, 1)), random.integers(0, 3, (2, 20, 24))
    model.fit(image, mask, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(image), model.predict(image), atol=1e-6)
    assert again.architecture == "sum_unet"
    assert again.features["d1"].shape[-1] == 2
    assert set(model.nearest_sizes(21)) == {20, 24}
    assert builder((64, 64, 3), filters=2, encoder="mobilenet_v2").output_shape[1:3] == (64, 64)


def test_the_files_that_it_names_exist():
    for path in re.findall(r"`((?:keras_unet3p|tests)/[\w/.]+)`", TEXT):
        if not path.endswith(("brier.py", "sum_unet.py")):  # the new ones
            assert (ROOT / path).exists(), path


def test_the_registries_have_lines_like_those_that_it_shows():
    choices = (ROOT / "keras_unet3p/config/choices.py").read_text("utf-8")
    assert '"dice": "Dice",' in choices
    assert set(config.LOSSES.values()) <= set(losses.__all__)
    assert '": Architecture(_UNET_OPTIONS | {"batch_norm"}),' in choices
