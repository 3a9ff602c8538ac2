"""Packages of the BioImage Model Zoo, as its own test and its runtime see them."""

from __future__ import annotations

import json
import sys
import zipfile
from importlib.util import find_spec

import numpy as np
import pydantic
import pytest
import tensorflow as tf

from keras_unet3p import models, workflow
from keras_unet3p.compat import KERAS_3
from keras_unet3p.data import generate_cells
from keras_unet3p.errors import InputError, MissingExtraError
from keras_unet3p.export import PackageText, bioimageio_spec, export_bioimageio
from keras_unet3p.export.packaged_network import PackagedNetwork
from keras_unet3p.images import Normalization
from keras_unet3p.postprocessing import MaskRule
from keras_unet3p.tiling import predict_image
from keras_unet3p.workflow.exported_run import ExportedRun
from tests.tiling.networks import trained_statistics

TEXT = PackageText("Tiny cells", ["A. Person"], "CC-BY-4.0")
GRAPH = "tensorflow_saved_model_bundle"


@pytest.fixture
def core(tmp_path, monkeypatch):
    """`bioimageio.core`, in an empty folder, into which it unpacks."""
    if find_spec("bioimageio") is None:
        pytest.skip('bioimageio.core is not installed: pip install ".[bioimageio]"')
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("BIOIMAGEIO_CACHE_PATH", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return pytest.importorskip("bioimageio.core")


@pytest.fixture(scope="module")
def tiny():
    return tiny_network()


def tiny_network(builder=models.unet, channels=1, classes=1, **options):
    rule = options.pop("normalization", Normalization((0.4,) * channels, (0.2,) * channels))
    sizes = {"dense_filters": 8} if builder is models.fcn else {"depth": 2}
    network = builder(
        (None, None, channels), classes, filters=4, normalization=rule, **sizes, **options
    )
    trained_statistics(network)
    return network


def test_the_zoo_s_own_test_passes(core, tiny, tmp_path):
    path = export_bioimageio(tiny, tmp_path / "tiny.zip", TEXT, tile_size=64)
    written = core.load_description(path)
    assert written.name == "Tiny cells"
    assert written.license == "CC-BY-4.0"
    assert [author.name for author in written.authors] == ["A. Person"]
    assert [str(entry.doi) for entry in written.cite] == ["10.1007/978-3-319-24574-4_28"]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith((".", "tiny"))] == ["tiny.zip"]
    check(core, path)


def test_the_preset_passes_and_its_card_goes_along(core, tmp_path):
    path = workflow.export_bioimageio("nuclei", tmp_path / "nuclei.zip", tile_size=128)
    readme = part(path, "README.md").decode()
    assert "### Validation" in readme
    assert "0.702" in readme
    card = json.loads(part(path, "model_card.json"))
    assert card["training"]["postprocessing"]["seed_threshold"] == 0.45
    assert core.load_description(path).outputs[0].axes[-1].channel_names == ["foreground", "core"]
    check(core, path)


def check(core, path):
    """Run the zoo's test for each kind of weights that this machine runs."""
    written = core.load_description(path).weights
    formats = [GRAPH] if KERAS_3 else []  # it runs SavedModels as a layer of Keras 3
    if written.onnx is not None and find_spec("onnxruntime"):
        formats.append("onnx")
    if not formats:
        pytest.skip("bioimageio.core runs SavedModels with Keras 3 only, and there is no ONNX")
    for name in formats:
        summary = core.test_model(path, weight_format=name)
        problems = [error.msg for detail in summary.details for error in detail.errors]
        assert summary.status == "passed", (name, problems)


def part(path, name):
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


@pytest.mark.parametrize(
    ("rule", "stored", "dtype"),
    [
        (Normalization((0.4,), (0.2,)), ("uint8",), np.uint8),
        (Normalization((0.4,), (0.2,)), ("uint16",), np.uint16),
        (Normalization((0.4,), (0.2,), "255"), ("float32",), np.uint8),
        (Normalization((100.0,), (30.0,), "raw"), ("float32",), np.uint8),
        (Normalization((0.0,), (1.0,), percentiles=(1.0, 99.8)), ("uint8", "uint16"), np.uint16),
    ],
    ids=["8 bits", "16 bits", "floats to 255", "raw", "stretched"],
)
def test_values_are_taken_as_they_are_in_the_files(tmp_path, rule, stored, dtype):
    network = tiny_network(normalization=rule)
    packaged = PackagedNetwork(
        network, tile_size=64, halo="exact", value_scale=rule.value_scale, stored_types=stored
    )
    cells = generate_cells((70, 90), seed=0)[0][..., np.newaxis]
    image = (cells.astype(np.float32) * (np.iinfo(dtype).max // 255)).astype(dtype)
    stored_image = image.astype(stored[-1])
    given = stored_image if rule.value_scale == "dtype" else rule.to_unit(stored_image)
    expected = predict_image(network, given, tile_size=64, halo="exact", kind="probabilities")
    assert np.ptp(expected) > 0.01
    found = answers(packaged, tmp_path, image.astype(np.float32)[np.newaxis])
    for kind, (answer,) in found.items():
        np.testing.assert_allclose(answer[0], expected, atol=2e-4, err_msg=kind)


@pytest.mark.parametrize(
    ("builder", "options"),
    [
        (models.unet, {"padding": "valid"}),
        (models.unet3plus, {"classification_guided": True, "deep_supervision": True}),
        (models.unetplusplus, {}),
        (models.attention_unet, {}),
        (models.fcn, {}),
    ],
    ids=["valid", "unet3plus", "unetplusplus", "attention", "fcn"],
)
def test_both_kinds_of_weights_are_one_function(tmp_path, builder, options):
    pytest.importorskip("tf2onnx")
    network = tiny_network(builder, channels=2, **options)
    packaged = PackagedNetwork(network, tile_size=124)
    cells = np.stack([generate_cells((140, 140), seed=seed)[0] for seed in (0, 1)], -1)
    images = [
        np.stack([part, part // 2]).astype(np.float32)
        for part in (cells[:1, :1], cells[:17, :40], cells[:64, :64], cells[:75, :140])
    ]
    found = answers(packaged, tmp_path, *images)
    for image, one, other in zip(images, found[GRAPH], found["onnx"], strict=True):
        assert one.shape == other.shape == (*image.shape[:3], 1)
        if max(image.shape) <= min(packaged.geometry.output):
            np.testing.assert_allclose(other, one, atol=1e-5)


def answers(packaged, folder, *images):
    """What each kind of weights says of each batch."""
    packaged.write_saved_model(folder / "graph")
    loaded = tf.saved_model.load(str(folder / "graph"))
    signature = loaded.signatures["serving_default"]
    found = {GRAPH: [signature(image=tf.constant(n))["probabilities"].numpy() for n in images]}
    if find_spec("tf2onnx") and find_spec("onnxruntime"):
        import onnxruntime

        packaged.write_onnx(folder / "model.onnx")
        session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
        )
        found["onnx"] = [session.run(["probabilities"], {"image": n})[0] for n in images]
    return found


def test_a_network_of_one_size_has_no_onnx(core, tmp_path):
    network = models.unet((64, 64, 1), 1, filters=4, depth=2)
    path = export_bioimageio(network, tmp_path / "m.zip", TEXT)
    assert core.load_description(path).weights.onnx is None
    check(core, path)


def test_without_operations_that_onnx_has_there_is_a_warning(core, tiny, tmp_path, monkeypatch):
    def broken(run, signature, opset, output_path):
        node = onnx.helper.make_node("NoSuchOperation", ["image"], ["probabilities"])
        ends = [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            for name in ("image", "probabilities")
        ]
        graph = onnx.helper.make_graph([node], "graph", ends[:1], ends[1:])
        onnx.save(onnx.helper.make_model(graph), output_path)

    onnx = pytest.importorskip("onnx")
    monkeypatch.setattr(pytest.importorskip("tf2onnx").convert, "from_function", broken)
    with pytest.warns(UserWarning, match="the package has no ONNX"):
        path = export_bioimageio(tiny, tmp_path / "m.zip", TEXT, tile_size=32)
    assert core.load_description(path).weights.onnx is None


def test_where_the_files_differ_in_type_unit_values_are_taken(tiny):
    packaged = PackagedNetwork(tiny, tile_size=64, stored_types=("uint8", "uint16"))
    assert packaged.stored_maximum == 1.0
    assert "from 0 to 1" in packaged.values


def test_several_classes_and_colours(core, tmp_path):
    network = tiny_network(models.unet3plus, channels=3, classes=3)
    path = export_bioimageio(
        network, tmp_path / "m.zip", TEXT, tile_size=64, classes=["background", "a", "b c"]
    )
    written = core.load_description(path)
    assert written.outputs[0].axes[-1].channel_names == ["background", "a", "b c"]
    assert len(written.inputs[0].axes[-1].channel_names) == 3
    check(core, path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (PackageText("Ab", ["A"], "CC-BY-4.0"), "name"),
        (PackageText("Tiny cells", ["A/B"], "CC-BY-4.0"), "name"),
        (PackageText("Tiny cells", ["A"], "no licence"), "license"),
    ],
)
def test_what_the_format_does_not_take_is_refused(core, tiny, tmp_path, text, problem):
    (tmp_path / "old.zip").write_bytes(b"old")
    with pytest.raises(InputError, match=problem):
        export_bioimageio(tiny, tmp_path / "old.zip", text, tile_size=32)
    assert (tmp_path / "old.zip").read_bytes() == b"old"


def test_a_run_needs_authors_and_a_licence(tmp_path, monkeypatch):
    monkeypatch.setattr(ExportedRun, "of", a_run)
    with pytest.raises(InputError, match="authors: none given"):
        workflow.export_bioimageio("runs/cells", tmp_path / "m.zip")
    with pytest.raises(InputError, match="license: none given"):
        workflow.export_bioimageio("runs/cells", tmp_path / "m.zip", authors=["A. Person"])


def a_run(name):
    from keras_unet3p.artifacts import ModelSource, RunFolder, RunRecord

    data = {"mask_kind": "binary", "classes": None, "stored_types": ["uint8"], "normalization": {}}
    record = RunRecord(training={"separation": 1}, data=data)
    source = ModelSource(name, "run", run=RunFolder(name))
    return workflow.exported_run.ExportedRun(source, record, None, MaskRule(), False)


def test_the_path_ends_in_zip(tiny, tmp_path):
    with pytest.raises(InputError, match=r"must end in \.zip"):
        export_bioimageio(tiny, tmp_path / "m", TEXT)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "bioimageio", None)
    monkeypatch.setitem(sys.modules, "bioimageio.spec", None)
    with pytest.raises(MissingExtraError, match=r"keras_unet3p\[bioimageio\]"):
        bioimageio_spec.load_spec()


def test_a_pydantic_that_it_does_not_work_with_is_named(core, monkeypatch):
    import bioimageio.spec

    monkeypatch.setattr(bioimageio.spec, "__version__", "0.5.12.0")
    monkeypatch.setattr(pydantic, "VERSION", "2.14.4")
    with pytest.raises(MissingExtraError, match=r"pydantic below 2\.13"):
        bioimageio_spec.load_spec()
