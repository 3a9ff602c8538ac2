"""The released PyTorch state, run by NumPy and SciPy, gives what the loaded Keras model gives."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from keras_unet3p import models
from tests.models import references

VARIANTS = {
    "plain": {},
    "deep_supervision": {"deep_supervision": True},
    "classification_guided": {"deep_supervision": True, "classification_guided": True},
}


def released_state(variant, filters=2, channels=1, classes=1, seed=0):
    """Random numbers under the names and shapes of the released code, made from the paper."""
    rng = np.random.default_rng(seed)
    state = {}

    def convolution(name, inputs, outputs, size=3):
        scale = np.sqrt(2 / (inputs * size * size))
        state[f"{name}.weight"] = rng.normal(0, scale, (outputs, inputs, size, size))
        state[f"{name}.bias"] = rng.normal(0, 0.1, outputs)

    def norm(name, width):
        state[f"{name}.weight"] = rng.normal(1, 0.2, width)
        state[f"{name}.bias"] = rng.normal(0, 0.2, width)
        state[f"{name}.running_mean"] = rng.normal(0, 0.2, width)
        state[f"{name}.running_var"] = rng.uniform(0.5, 1.5, width)
        state[f"{name}.num_batches_tracked"] = np.array(7)

    width = [channels, *(filters * 2**i for i in range(5))]
    for stage in range(1, 6):
        convolution(f"conv{stage}.conv1.0", width[stage - 1], width[stage])
        convolution(f"conv{stage}.conv2.0", width[stage], width[stage])
        norm(f"conv{stage}.conv1.1", width[stage])
        norm(f"conv{stage}.conv2.1", width[stage])
    for stage in (4, 3, 2, 1):
        for source in range(1, 6):
            kind = "PT" if source < stage else "Cat" if source == stage else "UT"
            letter = "hd" if source > stage else "h"
            name = f"{letter}{source}_{kind}_hd{stage}"
            inputs = width[source] if source <= stage or source == 5 else 5 * filters
            convolution(f"{name}_conv", inputs, filters)
            norm(f"{name}_bn", filters)
        convolution(f"conv{stage}d_1", 5 * filters, 5 * filters)
        norm(f"bn{stage}d_1", 5 * filters)
    convolution("outconv1", 5 * filters, classes)
    if variant != "plain":
        for stage in (2, 3, 4):
            convolution(f"outconv{stage}", 5 * filters, classes)
        convolution("outconv5", width[5], classes)
    if variant == "classification_guided":
        convolution("cls.1", width[5], 2, 1)
    return state


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(3).random((1, 48, 32, 1)).astype("float32")


def all_heads(model, image):
    return keras.Model(model.input, model.output)(image, training=False)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("upsample_method", ["plain", "low_resolution"])
def test_same_masks_as_the_reference(variant, upsample_method, image):
    state = released_state(variant)
    model = models.unet3plus(filters=2, upsample_method=upsample_method, **VARIANTS[variant])
    models.load_pytorch_state_dict(model, state)
    found = all_heads(model, image)
    found = found if isinstance(found, dict) else {"mask": found}
    expected = references.unet3plus(np.float64(image[0]).transpose(2, 0, 1), state)
    assert set(found) == set(expected)
    for name, mask in expected.items():
        mine = found[name][0].numpy()
        mine = mine.transpose(2, 0, 1) if mine.ndim == 3 else mine
        np.testing.assert_allclose(mine, mask, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(model(image), found["mask"], atol=1e-6)


def test_an_absent_organ_gives_an_empty_mask(image):
    state = released_state("classification_guided")
    model = models.unet3plus(filters=2, **VARIANTS["classification_guided"])
    for bias, present in (([9.0, -9.0], False), ([-9.0, 9.0], True)):
        models.load_pytorch_state_dict(model, {**state, "cls.1.bias": np.array(bias)})
        assert np.any(model(image).numpy() > 0) == present


def write_safetensors(path, state):
    header, content = {}, b""
    for name, array in state.items():
        data = array.astype("<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [len(content), len(content) + len(data)],
        }
        content += data
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)


@pytest.mark.parametrize("variant", VARIANTS)
def test_round_trip_and_files(variant, tmp_path):
    state = released_state(variant, channels=3, classes=2 if variant != list(VARIANTS)[2] else 1)
    classes = len(state["outconv1.bias"])
    model = models.unet3plus((None, None, 3), classes, filters=2, **VARIANTS[variant])
    kept = {k: v.astype("float32") for k, v in state.items() if "num_batches" not in k}
    np.savez(tmp_path / "state.npz", **state)
    write_safetensors(tmp_path / "state.safetensors", kept)
    parallel = {f"module.{name}": array for name, array in state.items()}
    for source in (tmp_path / "state.npz", str(tmp_path / "state.safetensors"), parallel):
        model.set_weights([weight * 0 for weight in model.get_weights()])
        models.load_pytorch_state_dict(model, source)
        back = models.pytorch_state_dict(model)
        assert set(back) == set(kept)
        for name, array in kept.items():
            np.testing.assert_array_equal(back[name], array)


def test_names_the_first_key_that_does_not_fit(tmp_path):
    state = released_state("plain")
    model = models.unet3plus(filters=2)
    before = model.get_weights()
    missing = {k: v for k, v in state.items() if k != "h1_PT_hd4_conv.bias"}
    with pytest.raises(ValueError, match=r"'h1_PT_hd4_conv.bias' is missing"):
        models.load_pytorch_state_dict(model, missing)
    wrong = {**state, "outconv1.weight": np.zeros((2, 10, 3, 3))}
    with pytest.raises(ValueError, match=r"'outconv1.weight' has shape \(2, 10, 3, 3\), \(1,"):
        models.load_pytorch_state_dict(model, wrong)
    with pytest.raises(ValueError, match=r"'outconv2.weight' has no place"):
        models.load_pytorch_state_dict(model, released_state("deep_supervision"))
    with pytest.raises(ValueError, match=r"expected a .safetensors or .npz"):
        models.load_pytorch_state_dict(model, tmp_path / "state.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\xff\x00\x00")
    with pytest.raises(ValueError, match=r"cut.safetensors.*truncated"):
        models.load_pytorch_state_dict(model, tmp_path / "cut.safetensors")
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_refuses_other_models():
    state = released_state("plain")
    with pytest.raises(ValueError, match="epsilon"):
        models.load_pytorch_state_dict(models.unet3plus(filters=2, batch_norm_epsilon=1e-3), state)
    with pytest.raises(ValueError, match="UNet 3"):
        models.load_pytorch_state_dict(models.unet(filters=2, depth=1), state)
