"""What all builders have in common: signatures, named tensors, and models that remember."""

from __future__ import annotations

import inspect
import json
import pydoc
import zipfile

import keras
import numpy as np
import pytest

from keras_unet3p import graphs, models

BUILDERS = [*models.ARCHITECTURES.values()]
SMALL = {"filters": 2, "depth": 1}
PLAIN_FCN = {"input_shape": (None, None, 1), "filters": 2, "encoder": "plain", "dense_filters": 2}

DIFFERENT_DEFAULTS = {
    ("fcn", "input_shape"),
    ("fcn", "encoder"),
    ("unet", "batch_norm"),
}
"""Each told in the builder's docstring with the reason."""


def small(architecture, **options):
    common = PLAIN_FCN if architecture == "fcn" else SMALL
    return models.ARCHITECTURES[architecture](**{**common, **options})


def test_the_registry_names_the_builders():
    for name, build in models.ARCHITECTURES.items():
        assert getattr(models, name) is build
        assert build.__name__ == name
        assert inspect.signature(build).parameters["name"].default == name


@pytest.mark.parametrize("build", BUILDERS)
def test_every_argument_is_shown(build):
    shown = pydoc.render_doc(build, renderer=pydoc.plaintext)
    arguments = inspect.getdoc(build).split("Args:")[1].split("Returns:")[0]
    for name, parameter in inspect.signature(build).parameters.items():
        assert parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        assert parameter.default is not parameter.empty
        assert f"{name}: {parameter.annotation!r} = {parameter.default!r}" in shown
        assert any(name in line.split(":")[0] for line in arguments.splitlines()), name


def test_an_option_of_several_builders_is_one():
    first = {}
    # U-Net is the one without batch normalisation: the others' default is compared first.
    for name, build in sorted(models.ARCHITECTURES.items()):
        for option, parameter in inspect.signature(build).parameters.items():
            if option == "name":
                continue
            other = first.setdefault(option, parameter)
            assert parameter.annotation == other.annotation, (name, option)
            assert parameter.kind == other.kind, (name, option)
            if (name, option) not in DIFFERENT_DEFAULTS:
                assert parameter.default == other.default, (name, option)


@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_another_one_is_built_of_what_a_model_remembers(architecture, tmp_path):
    build = models.ARCHITECTURES[architecture]
    options = {
        "input_shape": (np.int64(64), None, 2),
        "num_classes": np.int64(3),
        "kernel_initializer": keras.initializers.TruncatedNormal(stddev=0.5, seed=3),
        "kernel_regularizer": keras.regularizers.L2(0.25),
        "normalization": (np.array([0.5, 0.25]), np.array(2.0)),
        "filters": np.array([2, 3, 2, 3, 2] if architecture == "fcn" else [2, 3]),
        "prefix": "my_",
        "name": "mine",
    }
    if architecture in ("unet3plus", "unetplusplus"):
        options |= {"deep_supervision": True, "head_weights": {"mask": np.float32(0.5)}}
    if architecture == "unet3plus":
        options |= {"head_weights": 0.5, "batch_norm_gamma": keras.initializers.Constant(2.0)}
    if architecture == "fcn":
        options |= {"encoder": "plain", "dense_filters": 2}
    model = build(**options)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for found in (model, loaded):
        assert found.architecture == architecture
        assert {*found.options} == {*inspect.signature(build).parameters} - {"input_tensor"}
        assert json.loads(json.dumps(found.options)) == model.options
    assert build(**loaded.options).get_config() == model.get_config()
    assert model.options["input_shape"] == [64, None, 2]
    assert model.options["normalization"] == {"mean": [0.5, 0.25], "std": [2.0]}
    model.options["filters"] = 7
    assert model.options["filters"][:2] == [2, 3]


def test_two_inputs_and_a_head_of_ones_own():
    image, marks = keras.Input((16, 16, 1), name="image"), keras.Input((16, 16, 1), name="marks")
    network = models.unet(input_tensor=keras.layers.Add()([image, marks]), **SMALL)
    count = keras.layers.GlobalMaxPooling2D()(network.features["e2"])
    model = keras.Model([image, marks], [network.output, count])
    mask, maximum = model([np.ones((2, 16, 16, 1)), np.zeros((2, 16, 16, 1))])
    assert mask.shape == (2, 16, 16, 1)
    assert maximum.shape == (2, 4)
    model.compile("sgd", "mse")
    model.fit([np.ones((2, 16, 16, 1))] * 2, [np.zeros((2, 16, 16, 1)), np.ones((2, 4))], verbose=0)


@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_a_prefix_changes_names_only(architecture, tmp_path):
    options = {}
    if architecture in ("unet3plus", "unetplusplus"):
        options["deep_supervision"] = True
    if architecture == "unet3plus":
        options["classification_guided"] = True
    plain, model = (small(architecture, prefix=prefix, **options) for prefix in ("", "my_"))
    assert [layer.name for layer in model.layers] == [f"my_{x.name}" for x in plain.layers]
    for name in ("head_weights", "size_divisor", "classifier_activation", "num_classes"):
        assert getattr(model, name) == getattr(plain, name)
    assert [*model.features] == [*plain.features]
    image = np.random.default_rng(0).random((2, 8, 8, 1)).astype("float32")
    if architecture == "unet3plus":
        state = models.pytorch_state_dict(plain)
        models.load_pytorch_state_dict(model, state)
        assert {*models.pytorch_state_dict(model)} == {*state}
    model.set_weights(plain.get_weights())
    if architecture == "unetplusplus":
        pruned, expected = (models.prune_unetplusplus(m, 1) for m in (model, plain))
        np.testing.assert_allclose(pruned(image), expected(image), atol=1e-6)
    np.testing.assert_allclose(graphs.fold_batch_norm(model)(image), plain(image), atol=1e-5)
    model.compile("sgd", "binary_crossentropy", metrics=["mae"])
    model.train_on_batch(image, np.ones((2, 8, 8)))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(image), model(image), atol=1e-6)
    assert np.isfinite(loaded.train_on_batch(image, np.ones((2, 8, 8)))).all()


def test_a_file_of_an_earlier_version_is_loaded(tmp_path):
    model = models.unet3plus(deep_supervision=True, **SMALL)
    model.save(tmp_path / "new.keras")
    with (
        zipfile.ZipFile(tmp_path / "new.keras") as new,
        zipfile.ZipFile(tmp_path / "old.keras", "w") as old,
    ):
        for name in new.namelist():
            content = new.read(name)
            if name == "config.json":
                config = json.loads(content)
                assert config["config"].pop("blueprint")["architecture"] == "unet3plus"
                content = json.dumps(config).encode()
            old.writestr(name, content)
    loaded = keras.models.load_model(tmp_path / "old.keras")
    assert (loaded.architecture, loaded.options, loaded.features) == (None, {}, {})
    image = np.random.default_rng(0).random((1, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(loaded(image), model(image), atol=1e-6)


@pytest.mark.parametrize(
    ("tensor", "found"),
    [
        (np.zeros((1, 8, 8, 1), "float32"), "found ndarray"),
        (keras.Input((8, 8)), r"\(None, 8, 8\)"),
        (keras.Input((8, 8, None)), "channels known"),
    ],
)
def test_a_tensor_that_is_no_image_is_refused(tensor, found):
    with pytest.raises(ValueError, match=rf"input_tensor: .*{found}"):
        models.unet(input_tensor=tensor, **SMALL)
