"""Sets beyond one folder: patterns, tables of pairs, addresses; and what is kept of large ones."""

from __future__ import annotations

import csv
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet3p import data, images, workflow
from keras_unet3p.data import generate_cells, open_images, pairing, training_pipeline
from keras_unet3p.data import opening as opening_module
from keras_unet3p.images import image_file, image_list, remote_files
from keras_unet3p.images.found_files import wildcard_key


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNET3P_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(folder: Path, image: str, mask: str, seed: int = 0) -> None:
    pixels, labels = generate_cells(32, seed=seed)
    images.write_picture(folder / image, pixels)
    images.write_picture(folder / mask, (labels > 0).astype(np.uint8))


def table(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_two_patterns_pair_by_what_their_wildcards_stand_for(tmp_path):
    for plate in ("p1", "p2"):
        for name in ("a", "b"):
            write(tmp_path, f"{plate}/images/{name}.png", f"{plate}/masks/{name}_seg.png")
    opened = open_images(f"{tmp_path}/*/images/*.png", f"{tmp_path}/*/masks/*_seg.png")
    assert opened.names == ["p1_a", "p1_b", "p2_a", "p2_b"]
    opened = open_images(f"{tmp_path}/**/images/*.png", f"{tmp_path}/**/masks/*.png")
    assert len(opened) == 4, "the ending _seg of masks is known besides"
    (tmp_path / "p2/masks/b_seg.png").unlink()
    with pytest.raises(ValueError, match=r"b\.png: has no mask; expected a file p2/b\."):
        open_images(f"{tmp_path}/*/images/*.png", f"{tmp_path}/*/masks/*.png")
    with pytest.raises(ValueError, match=r"images: .*\*\.gif fits no image; accepted are"):
        open_images(f"{tmp_path}/*.gif", f"{tmp_path}/*/masks/*.png")
    with pytest.raises(ValueError, match=r"holds folders only .*'.*/\*/\*\.png' looks into all"):
        open_images(tmp_path, tmp_path)


NAMES = st.text("abcz019_-", min_size=1, max_size=6)


@given(st.lists(NAMES, min_size=1, max_size=3), NAMES)
def test_the_key_of_a_pattern_is_what_the_stars_match(folders, name):
    path = "/".join(["top", *folders, "images", f"{name}_im.png"])
    expected = "/".join([*folders, name])
    assert wildcard_key("/".join(["top", *["*"] * len(folders), "images", "*_im.png"]), path) == (
        expected
    )
    assert wildcard_key("top/**/images/*_im.png", path) == expected


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl"])
def test_a_table_says_what_belongs_together_and_what_for(tmp_path, suffix):
    rows = []
    for number in range(6):
        write(tmp_path, f"im/{number}.png", f"truth/{number}.png", seed=number)
        split = ["train", "", "train", "validation", "val", "test"][number]
        rows.append(
            {
                "image": f"im/{number}.png",
                "mask": f"truth/{number}.png",
                "split": split,
                "note": "x",
            }
        )
    listed = table(tmp_path / f"pairs{suffix}", rows)
    assert len(open_images(listed)) == 6
    opened = open_images(listed, splits=("train", "val"))
    training, validation = opened.own_split()
    assert (training.names, validation.names) == (["0", "1", "2"], ["3", "4"])
    assert open_images(listed, splits=("test",)).names == ["5"]
    assert data.read_image_list(listed)[3].split == "val"
    with pytest.raises(ValueError, match="masks: the table of images names them"):
        open_images(listed, tmp_path / "truth")
    with pytest.raises(ValueError, match="masks: missing; without them images has to be a table"):
        open_images(tmp_path / "im")


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path):
    rows = []
    for patient in ("x", "y"):
        write(tmp_path, f"{patient}/scan/1.png", f"{patient}/truth/1.png")
        rows.append({"image": f"{patient}/scan/1.png", "mask": f"{patient}/truth/1.png"})
    opened = open_images(table(tmp_path / "pairs.csv", rows))
    assert opened.names == ["x_scan_1", "y_scan_1"]


def test_wrong_rows_are_named_one_by_one(tmp_path):
    rows = [
        {"image": "a.png", "mask": ""},
        {"image": "a.png", "mask": "b.png", "split": "trian"},
        {"image": "a.png", "mask": "b.png", "weight": "-1"},
        {"image": "a.png", "mask": "b.png", "weight": "much"},
    ]
    with pytest.raises(ValueError, match=r"4 of 4 rows are wrong") as caught:
        data.read_image_list(table(tmp_path / "pairs.csv", rows))
    for text in ("line 2: mask is ''", "split is 'trian'", "weight is '-1'", "weight is 'much'"):
        assert text in str(caught.value)
    (tmp_path / "pairs.csv").write_text("file,mask\na,b\n")
    with pytest.raises(ValueError, match="the header is file, mask; expected image, mask"):
        data.read_image_list(tmp_path / "pairs.csv")
    (tmp_path / "pairs.json").write_text("{")
    with pytest.raises(ValueError, match=r"pairs\.json: "):
        data.read_image_list(tmp_path / "pairs.json")
    (tmp_path / "pairs.jsonl").write_text("")
    with pytest.raises(ValueError, match="has no rows"):
        data.read_image_list(tmp_path / "pairs.jsonl")
    table(tmp_path / "pairs.csv", [{"image": "a.png", "mask": "b.png"}])
    with pytest.raises(ValueError, match="has no row of the split test"):
        open_images(tmp_path / "pairs.csv", splits=("test",))


@pytest.fixture
def grouped(tmp_path):
    rows = []
    for number in range(12):
        write(tmp_path, f"{number}.png", f"m/{number}.png", seed=number)
        group = "abcd"[[0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 3, 3][number]]
        rows.append({"image": f"{number}.png", "mask": f"m/{number}.png", "group": group})
    return open_images(table(tmp_path / "pairs.csv", rows)), [row["group"] for row in rows]


@pytest.mark.parametrize("contiguous", [False, True])
def test_no_split_and_no_fold_parts_a_group(grouped, contiguous):
    opened, groups = grouped
    for seed in range(5):
        training, held = opened.split(0.2, seed, contiguous=contiguous)
        of_held, of_training = (
            {groups[int(name)] for name in part.names} for part in (held, training)
        )
        assert of_held
        assert of_training
        assert not of_held & of_training
    folds = opened.folds(3, 1, contiguous=contiguous)
    held = [name for _, part in folds for name in part.names]
    assert sorted(held) == sorted(opened.names)
    assert contiguous or sorted(len(part) for _, part in folds) == [3, 4, 5]
    for training, part in folds:
        assert not {groups[int(n)] for n in part.names} & {groups[int(n)] for n in training.names}
    with pytest.raises(ValueError, match="5 folds of 4 groups"):
        opened.folds(5, 0)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=6).filter(any))
def test_images_come_as_often_as_their_weights_say(weights):
    pictures = [np.full((8, 8), 20 * k, np.uint8) for k in range(len(weights))]
    masks = [np.eye(8, dtype=np.uint8)] * len(weights)
    opened = open_images(pictures, masks, mask_kind="binary")
    opened._records = tuple(
        opening_module.dataclasses.replace(
            record, listed=data.ListedPair("", "", weight=float(weight))
        )
        for record, weight in zip(opened._records, weights, strict=True)
    )
    passes = 3
    counts = np.zeros(len(weights), int)
    for image, _ in training_pipeline(
        opened,
        patch_size=8,
        batch_size=1,
        steps=passes * len(weights),
        augmentation=data.Augmentation.none(),
    ):
        counts[int(np.round(image.numpy().max() * 255)) // 20] += 1
    right = passes * np.array(weights) * len(weights) / sum(weights)
    assert np.abs(counts - right).max() < passes
    assert (counts[np.array(weights) == 0] == 0).all()


def test_training_and_evaluation_take_the_table(tmp_path):
    rows = []
    for number in range(5):
        write(tmp_path, f"{number}.png", f"m/{number}.png", seed=number)
        split = ["train", "train", "train", "val", "test"][number]
        rows.append({"image": f"{number}.png", "mask": f"m/{number}.png", "split": split})
    listed = table(tmp_path / "pairs.csv", rows)
    config = workflow.TrainingConfig(
        architecture="unet",
        filters=4,
        depth=2,
        epochs=1,
        steps_per_epoch=2,
        batch_size=2,
        patch_size=16,
    )
    workflow.train(listed, config=config, out=tmp_path / "run")
    record = json.loads((tmp_path / "run" / "config.json").read_text())["data"]
    assert record["training_names"] == ["0", "1", "2"]
    assert record["validation_names"] == ["3"]
    report = workflow.evaluate(tmp_path / "run", listed)
    assert [row["name"] for row in report.images] == ["4"]
    report = workflow.evaluate(tmp_path / "run", listed, splits=("train", "val"))
    assert len(report.images) == 4


def test_images_of_an_object_store_are_copied_once(tmp_path, cache):
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    for name in ("a", "b"):
        write(tmp_path, f"im/{name}.png", f"m/{name}.png", seed=ord(name))
        for kind in ("im", "m"):
            store.pipe(f"/bucket/{kind}/{name}.png", (tmp_path / kind / f"{name}.png").read_bytes())
    here = open_images(tmp_path / "im", tmp_path / "m")
    there = open_images("memory://bucket/im", "memory://bucket/m/*.png")
    assert there.names == here.names
    assert there.content_digest() == here.content_digest()
    copies = sorted(cache.rglob("*.png"))
    assert len(copies) == 4
    times = [copy.stat().st_mtime_ns for copy in copies]
    listed = table(
        tmp_path / "pairs.json",
        [{"image": "memory://bucket/im/a.png", "mask": "memory://bucket/m/a.png"}],
    )
    assert open_images(listed).names == ["a"]
    assert [copy.stat().st_mtime_ns for copy in sorted(cache.rglob("*.png"))] == times
    store.pipe("/bucket/im/a.png", (tmp_path / "im" / "b.png").read_bytes())
    changed = open_images("memory://bucket/im", "memory://bucket/m")
    assert changed.content_digest() != here.content_digest()
    with pytest.raises(ValueError, match="images: memory://bucket/none holds no image"):
        open_images("memory://bucket/none", "memory://bucket/m")
    with pytest.raises(ValueError, match="images: nothing-of-that-kind://x"):
        open_images("nothing-of-that-kind://x", "memory://bucket/m")


class Together:
    """Calls a function when so many threads are about to, else not at all."""

    def __init__(self, function, count):
        self._function, self._barrier = function, threading.Barrier(count)

    def __call__(self, *arguments, **options):
        self._barrier.wait(timeout=60)
        return self._function(*arguments, **options)


def test_addresses_of_a_table_are_copied_at_the_same_time(tmp_path, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    store, rows = fsspec.filesystem("memory"), []
    for number in range(8):
        write(tmp_path, f"im/{number}.png", f"m/{number}.png", seed=number)
        for kind in ("im", "m"):
            pixels = (tmp_path / kind / f"{number}.png").read_bytes()
            store.pipe(f"/table/{kind}/{number}.png", pixels)
        address = "memory://table/{}/" + f"{number}.png"
        rows.append({"image": address.format("im"), "mask": address.format("m")})
    listed = table(tmp_path / "pairs.csv", rows)
    copy = image_list.local_copies
    monkeypatch.setattr(image_list, "local_copies", Together(copy, remote_files.AT_ONCE))
    assert open_images(listed).names == [str(number) for number in range(8)]
    monkeypatch.setattr(image_list, "local_copies", copy)
    rows[3]["mask"] = "memory://table/m/none.png"
    with pytest.raises(ValueError, match=r"mask: memory://table/m/none\.png"):
        open_images(table(tmp_path / "pairs.csv", rows))


def test_headers_are_read_at_the_same_time(tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    for number in range(4):
        write(tmp_path, f"im/{number}.png", f"m/{number}.png", seed=number)
    whole = open_images(tmp_path / "im", tmp_path / "m")
    monkeypatch.setattr(pairing, "expand", Together(pairing.expand, 4))
    opened = open_images(tmp_path / "im", tmp_path / "m")
    assert opened.names == whole.names
    assert opened.content_digest() == whole.content_digest()
    files = images.list_images(tmp_path / "im")
    monkeypatch.setattr(image_file, "expand", Together(image_file.expand, 4))
    stacks, _ = images.open_files(files, "unit")
    assert list(stacks) == list(files)
    assert [stack.path for stack in stacks.values()] == list(files.values())


def test_problems_are_told_in_the_order_of_the_files(tmp_path):
    for number in range(5):
        write(tmp_path, f"im/{number}.png", f"m/{number}.png")
    for number in (1, 3):
        (tmp_path / "im" / f"{number}.png").unlink()
        (tmp_path / "im" / f"{number}.tif").write_bytes(b"nothing")
    (tmp_path / "m" / "2.png").unlink()
    with pytest.raises(ValueError, match=r"(?s)1\.tif.*2\.png: has no mask.*3\.tif"):
        open_images(tmp_path / "im", tmp_path / "m")


def test_what_was_found_out_about_a_large_set_is_kept(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(opening_module, "_WORTH_A_CACHE", 4)
    for number in range(6):
        write(tmp_path, f"im/{number}.png", f"m/{number}.png", seed=number)
    first = open_images(tmp_path / "im", tmp_path / "m")
    looked_at = []
    inspect = opening_module._inspect
    monkeypatch.setattr(
        opening_module,
        "_inspect",
        lambda pair, *how: looked_at.append(pair.name) or inspect(pair, *how),
    )
    again = open_images(tmp_path / "im", tmp_path / "m")
    assert looked_at == []
    assert again.content_digest() == first.content_digest()
    assert again.normalization() == first.normalization()
    assert again.mask_spans == first.mask_spans
    write(tmp_path, "im/3.png", "m/3.png", seed=77)
    open_images(tmp_path / "im", tmp_path / "m")
    assert looked_at == ["3"]
    open_images(tmp_path / "im", tmp_path / "m", mask_kind="binary")
    assert len(looked_at) == 7, "looked at in another way, they are others"
    (cache / "inspected.sqlite").write_bytes(b"no database at all" * 100)
    assert open_images(tmp_path / "im", tmp_path / "m").names == first.names
    shutil.rmtree(cache)
    cache.write_text("a file where the folder should be")
    assert open_images(tmp_path / "im", tmp_path / "m").names == first.names
