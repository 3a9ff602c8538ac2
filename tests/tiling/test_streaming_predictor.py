from __future__ import annotations

import errno
import json
import mmap
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet3p.export import export_savedmodel
from keras_unet3p.tiling import StreamingPredictor, TileGeometry, predict_image

GEOMETRIES = [
    TileGeometry((40, 48), 8, 0, 4),
    TileGeometry((40, 48), 8, 0, 4, 8),
    TileGeometry((40, 48), 8, 0, 4, 5),
]


class Echo:
    """A model that answers with its tiles, so that any misplaced pixel is seen."""

    def __init__(self, fail_at=None):
        self.calls = 0
        self.fail_at = fail_at

    def predict_tiles(self, tiles):
        self.calls += 1
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        return tiles


def random_image(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("size", [(1, 1), (1, 100), (24, 32), (25, 33), (101, 77), (73, 97)])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_every_pixel_ends_where_it_came_from(geometry, size, batch_size):
    image = random_image(*size, 2)
    predictor = StreamingPredictor(Echo(), geometry=geometry, batch_size=batch_size)
    found = predictor.predict(image, kind="probabilities", progress=False)
    np.testing.assert_allclose(found, image, atol=1e-6)


@pytest.mark.parametrize("blend", [0, None])
def test_agrees_with_the_tiler_in_the_graph(networks, blend):
    model = networks("same", 3, 3)
    image = (random_image(90, 130, 3) * 255).astype(np.uint8)
    options = {"tile_size": 64, "halo": 16, "blend": blend}
    expected = predict_image(model, image, **options)
    predictor = StreamingPredictor(model, batch_size=2, **options)
    found = predictor.predict(image, kind="probabilities", progress=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    ids = predictor.predict(image, progress=False)
    assert ids.dtype == np.uint8
    assert (ids != expected.argmax(-1)).mean() < 0.001


def test_keras_model_saved_model_and_client_are_one_interface(networks, tmp_path):
    model = networks("valid")
    options = {"tile_size": 64}
    export_savedmodel(model, tmp_path / "m", **options)
    keras_predictor = StreamingPredictor(model, **options)
    geometry = keras_predictor.geometry

    class Client:
        def predict_tiles(self, tiles):
            return model(tiles, training=False).numpy()

    image = random_image(70, 51)
    expected = keras_predictor.predict(image, kind="probabilities", progress=False)
    model.save(tmp_path / "m.keras")
    for other in (
        StreamingPredictor(tmp_path / "m"),
        StreamingPredictor(str(tmp_path / "m.keras"), **options),
        StreamingPredictor(tmp_path / "m" / "1"),
        StreamingPredictor(Client(), geometry=geometry),
    ):
        assert other.geometry == geometry
        found = other.predict(image, kind="probabilities", progress=False)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_damaged_keras_file_is_named(tmp_path):
    (tmp_path / "m.keras").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"m\.keras cannot be loaded as a Keras model"):
        StreamingPredictor(tmp_path / "m.keras")


def test_memory_does_not_grow_with_the_number_of_tiles():
    """An image of 17 million tiles: a list of them would take more than a gigabyte."""

    class Endless:
        shape, dtype = (2**20, 2**16), np.dtype(np.uint8)

        def __getitem__(self, window):
            rows, columns = (
                range(*part.indices(n)) for part, n in zip(window, self.shape, strict=True)
            )
            return np.zeros((len(rows), len(columns)), np.uint8)

    class Nowhere:
        shape, dtype = Endless.shape, np.dtype(np.uint8)

        def __setitem__(self, window, values):
            pass

    predictor = StreamingPredictor(Echo(fail_at=5), geometry=TileGeometry((80, 80), 8))
    tracemalloc.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            predictor.predict(Endless(), Nowhere(), progress=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20


def test_client_side_use_imports_no_tensorflow():
    code = """
        import sys
        import numpy as np
        from keras_unet3p.tiling import StreamingPredictor, TileGeometry
        class Client:
            def predict_tiles(self, tiles): return tiles
        predictor = StreamingPredictor(Client(), geometry=TileGeometry((32, 32), 8))
        predictor.predict(np.zeros((50, 50), np.uint8), progress=False)
        assert not {"tensorflow", "keras"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_stopped_run_continues(tmp_path, geometry):
    image = random_image(180, 170)
    out = tmp_path / "mask.npy"

    def run(model):
        predictor = StreamingPredictor(model, geometry=geometry, seconds_between_records=0)
        return predictor.predict(image, out, kind="probabilities", progress=False)

    whole = Echo()
    complete = StreamingPredictor(whole, geometry=geometry)
    complete.predict(image, kind="probabilities", progress=False)
    calls = 0
    for fail_at in (3, 5, 9, 11, None):
        model = Echo(fail_at)
        if fail_at is None:
            result = run(model)
        else:
            with pytest.raises(KeyboardInterrupt):
                run(model)
            assert not out.exists()
            assert (tmp_path / "mask.npy.journal").exists()
        calls += model.calls - (fail_at is not None)
    np.testing.assert_allclose(result[..., 0], image, atol=1e-6)
    if not geometry.blend:
        assert calls == whole.calls  # no tile was run twice
    assert os.listdir(tmp_path) == ["mask.npy"]


@pytest.fixture
def interrupted(tmp_path):
    """A run to mask.npy that stopped at its ninth step, and how to go on with it."""

    def run(image, fail_at=None, seconds=0):
        predictor = StreamingPredictor(
            Echo(fail_at), geometry=GEOMETRIES[0], seconds_between_records=seconds
        )
        out = tmp_path / "mask.npy"
        return predictor.predict(image, out, kind="probabilities", progress=False)

    with pytest.raises(KeyboardInterrupt):
        run(random_image(180, 170), 9)
    return run


def test_another_image_does_not_continue_the_run(interrupted):
    with pytest.raises(ValueError, match="pixels"):
        interrupted(random_image(180, 170, seed=1))


def test_without_its_journal_a_run_starts_anew(interrupted, tmp_path):
    (tmp_path / "mask.npy.journal").unlink()
    image = random_image(100, 90, seed=1)
    np.testing.assert_allclose(interrupted(image)[..., 0], image, atol=1e-6)


def test_without_what_it_wrote_a_run_starts_anew(interrupted, tmp_path):
    (tmp_path / "mask.npy.partial").unlink()
    image = random_image(180, 170)
    with pytest.raises(KeyboardInterrupt):
        interrupted(image, 3, seconds=1000)  # killed before the journal is written again
    np.testing.assert_allclose(interrupted(image)[..., 0], image, atol=1e-6)


def test_a_journal_needs_an_output_that_stays(tmp_path):
    predictor = StreamingPredictor(Echo(), geometry=GEOMETRIES[0])
    with pytest.raises(ValueError, match="journal"):
        predictor.predict(random_image(50, 50), journal=tmp_path / "j", progress=False)


def test_changes_to_a_copy_on_write_map_are_kept(tmp_path):
    np.save(tmp_path / "image.npy", np.zeros((300, 200), np.uint8))
    image = np.load(tmp_path / "image.npy", mmap_mode="c")
    image += 200
    predictor = StreamingPredictor(Echo(), geometry=GEOMETRIES[0], pixels_between_releases=1)
    assert predictor.predict(image, progress=False).all()
    assert (image == 200).all()


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32])
def test_integers_whose_range_says_nothing_are_refused(dtype):
    predictor = StreamingPredictor(Echo(), geometry=GEOMETRIES[0])
    with pytest.raises(ValueError, match=np.dtype(dtype).name):
        predictor.predict(np.ones((50, 50), dtype), progress=False)


def test_an_output_that_cannot_hold_the_result_is_refused():
    predictor = StreamingPredictor(Echo(), geometry=GEOMETRIES[0])
    output = np.zeros((50, 50, 1), np.uint8)
    with pytest.raises(ValueError, match="float32"):
        predictor.predict(random_image(50, 50), output, kind="probabilities", progress=False)


def test_an_exported_model_brings_its_threshold_and_value_scale(networks, tmp_path):
    model = networks("same", 1, 1)
    raw = (random_image(70, 60) * 3).astype(np.uint8)
    probabilities = predict_image(model, raw.astype(np.float32), tile_size=64)[..., 0]
    threshold = float(np.quantile(probabilities, 0.3))
    export_savedmodel(
        model,
        tmp_path / "m",
        tile_size=64,
        threshold=threshold,
        value_scale="raw",
        input_dtype="float32",
    )
    for dtype in (np.uint8, np.int32, np.float32):
        ids = StreamingPredictor(tmp_path / "m").predict(raw.astype(dtype), progress=False)
        assert (ids != (probabilities >= threshold)).mean() < 0.002
        assert 0.6 < ids.mean() < 0.8


def test_a_run_that_was_killed_continues(tmp_path):
    """SIGKILL from outside, again and again, until the run gets through."""
    script = textwrap.dedent(
        """
        import sys, time
        import numpy as np
        from keras_unet3p.tiling import StreamingPredictor, TileGeometry
        class Slow:
            def predict_tiles(self, tiles):
                time.sleep(0.01)
                return tiles
        geometry = TileGeometry((40, 48), 8, 0, 4, 8)
        StreamingPredictor(Slow(), geometry=geometry, seconds_between_records=0.05).predict(
            np.load("image.npy", mmap_mode="r"), "mask.npy", kind="probabilities",
            progress=lambda done, total: print(done, total, flush=True))
        """
    )
    image = random_image(300, 310)
    np.save(tmp_path / "image.npy", image)
    starts = []
    for _ in range(20):
        process = subprocess.Popen(
            [sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )
        starts.append(int(process.stdout.readline().split()[0]))
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (tmp_path / "mask.npy").exists():
            break
    assert len(starts) > 1
    assert starts == sorted(starts)
    assert starts[-1] > 0
    np.testing.assert_allclose(np.load(tmp_path / "mask.npy")[..., 0], image, atol=1e-6)


def test_a_line_of_the_journal_that_was_cut_does_not_count(tmp_path):
    out = tmp_path / "mask.npy"
    image = random_image(140, 130)
    geometry = GEOMETRIES[0]
    with pytest.raises(KeyboardInterrupt):
        StreamingPredictor(Echo(8), geometry=geometry, seconds_between_records=0).predict(
            image, out, progress=False
        )
    journal = tmp_path / "mask.npy.journal"
    journal.write_text(journal.read_text() + "2")  # of "23", say
    done = []
    StreamingPredictor(Echo(), geometry=geometry).predict(
        image, out, progress=lambda n, total: done.append(n)
    )
    assert done[0] == 7
    np.testing.assert_array_equal(np.load(out), image >= 0.5)


def test_a_journal_of_another_run_is_refused(tmp_path):
    out = tmp_path / "mask.npy"
    with pytest.raises(KeyboardInterrupt):
        StreamingPredictor(Echo(3), geometry=GEOMETRIES[0], seconds_between_records=0).predict(
            random_image(140, 130), out, progress=False
        )
    for predictor, image in (
        (StreamingPredictor(Echo(), geometry=GEOMETRIES[1]), random_image(140, 130)),
        (StreamingPredictor(Echo(), geometry=GEOMETRIES[0]), random_image(140, 131)),
        (StreamingPredictor(Echo(), geometry=GEOMETRIES[0], threshold=0.1), random_image(140, 130)),
    ):
        with pytest.raises(ValueError, match="journal"):
            predictor.predict(image, out, progress=False)
    parameters = json.loads((tmp_path / "mask.npy.journal").read_text().split("\n")[0])
    assert parameters["geometry"]["blend"] == 0


@pytest.mark.parametrize("text", ["{}[\n3\n", "[3]\n", "{}\nmany\n", "\udcff\n"])
def test_a_damaged_journal_is_named_with_the_way_out(tmp_path, text):
    (tmp_path / "mask.npy.journal").write_text(text, errors="surrogateescape")
    predictor = StreamingPredictor(Echo(), geometry=GEOMETRIES[0])
    with pytest.raises(ValueError, match=r"mask\.npy\.journal is damaged.*delete it"):
        predictor.predict(random_image(50, 50), tmp_path / "mask.npy", progress=False)


@pytest.mark.parametrize("shared", ["output", "journal"])
def test_two_runs_to_one_file_are_refused_and_the_first_stays_whole(tmp_path, shared):
    """The second starts while the first has noted nothing yet, and is killed."""
    image = random_image(100, 90)
    out = tmp_path / "mask.npy"
    first = {"output": out, "kind": "probabilities"}
    second = {"output": out} if shared == "output" else {"output": tmp_path / "other.npy"}
    if shared == "journal":
        first["journal"] = second["journal"] = tmp_path / "both"
    refused = []

    def start_another(done: int, total: int) -> None:
        if done == 3:
            another = StreamingPredictor(Echo(fail_at=2), geometry=GEOMETRIES[0])
            with pytest.raises(ValueError, match="in use") as raised:
                another.predict(image, kind="probabilities", progress=False, **second)
            refused.append(str(raised.value))

    predictor = StreamingPredictor(Echo(), geometry=GEOMETRIES[0])
    found = predictor.predict(image, progress=start_another, **first)
    np.testing.assert_allclose(found[..., 0], image, atol=1e-6)
    assert f"in use by process {os.getpid()} on " in refused[0]
    assert os.listdir(tmp_path) == ["mask.npy"]


def test_a_file_that_another_process_put_in_the_place_of_ones_own_is_not_taken(tmp_path):
    out = tmp_path / "mask.npy"

    def replace(done: int, total: int) -> None:
        if done == 3:
            (tmp_path / "theirs").write_bytes(b"theirs")
            os.replace(tmp_path / "theirs", tmp_path / "mask.npy.partial")

    predictor = StreamingPredictor(Echo(), geometry=GEOMETRIES[0])
    with pytest.raises(ValueError, match=r"mask\.npy\.partial is no longer the file"):
        predictor.predict(random_image(100, 90), out, progress=replace)
    assert not out.exists()
    assert (tmp_path / "mask.npy.partial").read_bytes() == b"theirs"


@pytest.mark.parametrize("own", [False, True])
def test_a_full_disk_is_found_before_anything_is_segmented(tmp_path, monkeypatch, own):
    def full(descriptor, start, size):
        assert size >= 100 * 90 * 4
        raise OSError(errno.ENOSPC, "No space left on device")

    output = tmp_path / "mask.npy"
    if own:
        output = np.lib.format.open_memmap(output, "w+", np.float32, (100, 90, 1))
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    model = Echo()
    predictor = StreamingPredictor(model, geometry=GEOMETRIES[0])
    with pytest.raises(OSError, match=r"no space left to write .*mask\.npy.* MiB are free there"):
        predictor.predict(random_image(100, 90), output, kind="probabilities", progress=False)
    assert model.calls <= 1
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="mounts are Linux's here")
def test_a_full_disk_does_not_kill_the_process(tmp_path):
    """A small file system of memory, which the result does not fit into."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    script = textwrap.dedent(
        """
        import sys
        import numpy as np
        from keras_unet3p.tiling import StreamingPredictor, TileGeometry
        class Echo:
            def predict_tiles(self, tiles): return tiles
        StreamingPredictor(Echo(), geometry=TileGeometry((256, 256), 8)).predict(
            np.zeros((1000, 1000), np.uint8), sys.argv[1], kind="probabilities", progress=False)
        """
    )
    # In name spaces of their own, so that an ordinary user may mount, and nothing stays mounted.
    write = [sys.executable, "-c", script, str(disk / "m.npy")]
    inside = f"{shlex.join(mount)} && exec {shlex.join(write)}"
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    has_unshare = shutil.which("unshare") is not None
    if not has_unshare or subprocess.run([*unshare, *mount], check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    found = subprocess.run(
        [*unshare, "sh", "-c", inside], capture_output=True, text=True, check=False
    )
    assert found.returncode == 1, found
    assert re.search(r"OSError: .*no space left to write .*m\.npy", found.stderr), found.stderr


@pytest.mark.parametrize(
    ("classes", "dtype"), [(1, np.uint8), (2, np.uint8), (256, np.uint8), (257, np.uint16)]
)
def test_class_ids_have_a_type_that_holds_them(classes, dtype):
    class Last:
        def predict_tiles(self, tiles):
            return np.broadcast_to(np.arange(1, classes + 1) / classes, (*tiles.shape[:3], classes))

    predictor = StreamingPredictor(Last(), geometry=GEOMETRIES[0])
    ids = predictor.predict(random_image(30, 30), progress=False)
    assert ids.dtype == dtype
    assert (ids == max(classes - 1, 1)).all()
    for own in (np.uint16, np.int32, np.uint8):
        output = np.zeros((30, 30), own)
        if dtype == np.uint16 and own == np.uint8:
            with pytest.raises(ValueError, match="hold uint16, found uint8"):
                predictor.predict(random_image(30, 30), output, progress=False)
        else:
            predictor.predict(random_image(30, 30), output, progress=False)
            assert (output == max(classes - 1, 1)).all()


def test_reads_and_writes_anything_that_can_be_sliced():
    class Store:
        """As a Zarr array: windows only."""

        def __init__(self, array):
            self._array = array
            self.shape, self.dtype = array.shape, array.dtype

        def __getitem__(self, window):
            assert len(window) == 2
            return self._array[window].copy()

        def __setitem__(self, window, values):
            assert len(window) == 2
            self._array[window] = values

    image = (random_image(100, 90) * 65535).astype(np.uint16)
    result = np.zeros((100, 90, 1), np.float32)
    predictor = StreamingPredictor(Echo(), geometry=GEOMETRIES[1])
    predictor.predict(Store(image), Store(result), kind="probabilities", progress=False)
    np.testing.assert_allclose(result[..., 0], image / 65535, atol=1e-6)


def test_progress_is_reported_tile_by_tile(capfd):
    seen = []
    predictor = StreamingPredictor(Echo(), geometry=GEOMETRIES[0])
    image = random_image(48, 96)
    predictor.predict(image, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 6) for n in range(7)]
    predictor.predict(image)
    assert "100%" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": np.zeros((4, 4, 4, 1))}, "image"),
        ({"image": np.zeros((0, 4))}, "image"),
        ({"image": np.zeros((4, 4), complex)}, "complex"),
        ({"kind": "masks"}, "kind"),
        ({"output": "mask.png"}, "npy"),
        ({"output": np.zeros((4, 5), np.uint8)}, "output"),
    ],
)
def test_unfitting_arguments_are_refused(arguments, message):
    predictor = StreamingPredictor(Echo(), geometry=GEOMETRIES[0])
    with pytest.raises(ValueError, match=message):
        predictor.predict(**{"image": np.zeros((4, 4)), "progress": False, **arguments})


def test_a_client_needs_a_geometry_and_a_folder_a_model(tmp_path):
    with pytest.raises(ValueError, match="geometry"):
        StreamingPredictor(Echo())
    with pytest.raises(ValueError, match="is no run folder"):
        StreamingPredictor(tmp_path)
    with pytest.raises(ValueError, match="is an endpoint; give its client"):
        StreamingPredictor("http://localhost:8501/cells")


@given(
    st.sampled_from([*GEOMETRIES, TileGeometry((28, 24), 8, 0, 1, 4), TileGeometry((16, 16), 0)]),
    st.sampled_from([1, 3]),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_a_window_holds_the_pixels_of_the_whole_image(geometry, batch_size, data):
    height, width = (data.draw(st.integers(1, 90)) for _ in range(2))
    image = random_image(height, width)

    class Network:
        """Not linear, and with another value at every place of the tile."""

        def predict_tiles(self, tiles):
            place = np.linspace(0.1, 1.0, tiles[0].size, dtype=np.float32).reshape(tiles[0].shape)
            return np.concatenate([np.sqrt(tiles + place), tiles * place], -1)

    predictor = StreamingPredictor(Network(), geometry=geometry, batch_size=batch_size)
    whole = predictor.predict(image, kind="probabilities", progress=False)
    y0, x0 = (data.draw(st.integers(0, side - 1)) for side in (height, width))
    y1, x1 = data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width))
    part = predictor.predict_window(image, (y0, y1, x0, x1), kind="probabilities")
    np.testing.assert_array_equal(part, whole[y0:y1, x0:x1])
    ids = predictor.predict_window(image, (y0, y1, x0, x1))
    np.testing.assert_array_equal(ids, predictor.predict(image, progress=False)[y0:y1, x0:x1])


def test_a_window_beyond_the_image_is_refused():
    predictor = StreamingPredictor(Echo(), geometry=TileGeometry(tile=(8, 8), halo=0))
    for window in ((0, 0, 0, 4), (0, 9, 0, 4), (-1, 4, 0, 4)):
        with pytest.raises(ValueError, match=r"window is .*within 8 x 8 pixels, not empty"):
            predictor.predict_window(random_image(8, 8), window)
    with pytest.raises(ValueError, match="kind must be 'classes' or 'probabilities'"):
        predictor.predict_window(random_image(8, 8), (0, 4, 0, 4), kind="instances")
