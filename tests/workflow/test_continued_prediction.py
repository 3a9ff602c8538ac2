"""A killed prediction goes on where it was."""

from __future__ import annotations

import csv
import dataclasses
import os

import numpy as np
import pytest
import tifffile

from keras_unet3p import data, workflow
from keras_unet3p.images import pictures
from keras_unet3p.workflow import prediction


class Counting:
    """A model of bright cells that counts its images, and stops at one of them."""

    def __init__(self, predictor, stop_at=None):
        self.images, self._stop_at = 0, stop_at
        self._instances = predictor.instances
        self.predictor = dataclasses.replace(predictor, instances=self)

    def __call__(self, image):
        self.images += 1
        if self.images == self._stop_at:
            raise KeyboardInterrupt
        return self._instances(image)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(5):
        cells, _ = data.generate_cells((60, 70), seed=number)
        pictures.write_picture(folder / f"{number}.png", cells)
    return folder


@pytest.fixture
def segment(monkeypatch, images, tmp_path):
    """Segments the images; the number of those that were looked at."""
    nuclei = workflow.open_model("nuclei", tile_size=64)

    def run(out="out", stop_at=None, **options):
        counting = Counting(nuclei, stop_at)
        monkeypatch.setattr(prediction, "open_model", lambda *_, **__: counting.predictor)
        if stop_at is None:
            workflow.predict("nuclei", images, out=tmp_path / out, **options)
        else:
            with pytest.raises(KeyboardInterrupt):
                workflow.predict("nuclei", images, out=tmp_path / out, **options)
        return counting.images

    return run


def _content(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_only_what_is_missing_is_segmented(segment, tmp_path):
    assert segment("whole", polygons="geojson") == 5
    assert segment(stop_at=3, polygons="geojson") == 3
    assert not (tmp_path / "out" / "objects.csv").exists()
    assert segment(polygons="geojson") == 3
    assert _content(tmp_path / "out") == _content(tmp_path / "whole")
    assert len(_content(tmp_path / "out")) == 5 * 3 + 2
    assert segment(polygons="geojson") == 5, "a finished one is begun anew"


def test_a_line_that_a_kill_has_cut_does_not_count(segment, tmp_path):
    segment("whole")
    segment(stop_at=4)
    journal = tmp_path / "out" / "prediction.journal"
    journal.write_bytes(journal.read_bytes()[:-5])
    assert segment() == 3
    assert _content(tmp_path / "out") == _content(tmp_path / "whole")


@pytest.mark.parametrize("change", ["options", "image", "mask"])
def test_what_has_changed_is_made_again(segment, images, tmp_path, change):
    segment(stop_at=3)
    if change == "options":
        assert segment(pixel_size=0.5) == 5
        return
    if change == "image":
        cells, _ = data.generate_cells((60, 70), seed=9)
        pictures.write_picture(images / "0.png", cells)
        status = (images / "0.png").stat()
        os.utime(images / "0.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    else:
        (tmp_path / "out" / "0.png").unlink()
    assert segment() == 4


def test_two_at_a_time_are_refused(segment, images, tmp_path, monkeypatch):
    seen = []

    def second(image):
        with pytest.raises(ValueError, match=r"out .* is in use by process"):
            workflow.predict("nuclei", images, out=tmp_path / "out")
        seen.append(image)
        return np.zeros(image.shape[:2], np.int32)

    nuclei = workflow.open_model("nuclei", tile_size=64)
    predictor = dataclasses.replace(nuclei, instances=second)
    monkeypatch.setattr(prediction, "open_model", lambda *_, **__: predictor)
    workflow.predict("nuclei", images, out=tmp_path / "out")
    assert len(seen) == 5


def test_a_file_tells_its_pixel_size(segment, images, tmp_path):
    cells, _ = data.generate_cells((60, 70), seed=0)
    (images / "0.png").unlink()
    told = {"imagej": True, "resolution": (2, 2), "metadata": {"unit": "um"}}
    tifffile.imwrite(images / "0.tif", cells, **told)
    segment()
    with (tmp_path / "out" / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    areas = {row["image"]: (row["area"], row["area_um2"]) for row in rows}
    assert float(areas["0.png"][1]) == float(areas["0.png"][0]) / 4
    assert areas["1.png"][1] == "", "this one tells none"
    segment("given", pixel_size=1.0)
    with (tmp_path / "given" / "objects.csv").open(newline="") as file:
        assert all(row["area_um2"] == row["area"] for row in csv.DictReader(file))
