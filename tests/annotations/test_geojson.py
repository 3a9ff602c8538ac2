"""GeoJSON: geometries made by shapely, properties as QuPath writes them."""

from __future__ import annotations

import numpy as np
import pytest

from keras_unet3p.annotations import KnownImage, ObjectImage, read_geojson, write_geojson
from keras_unet3p.annotations.entries import read_json
from keras_unet3p.files import write_json

shapely = pytest.importorskip("shapely")
IMAGES = {"a": KnownImage("a.tif", 20, 30)}
SQUARE = shapely.box(2, 3, 8, 9)


def feature(geometry, kind="annotation", **properties):
    drawn = geometry if isinstance(geometry, dict) else shapely.geometry.mapping(geometry)
    return {"type": "Feature", "geometry": drawn, "properties": {"objectType": kind, **properties}}


def read(tmp_path, *features):
    collection = {"type": "FeatureCollection", "features": list(features)}
    write_json(tmp_path / "a.geojson", collection)
    return read_geojson(tmp_path / "a.geojson", IMAGES)


def test_polygons_with_holes_and_of_several_pieces(tmp_path):
    ring = SQUARE.difference(shapely.box(4, 5, 6, 7))
    pieces = shapely.MultiPolygon([shapely.box(10, 0, 12, 2), shapely.box(20, 10, 23, 12)])
    tumour = {"name": "Tumor", "colorRGB": -3670016}
    found = read(
        tmp_path,
        feature(ring, classification=tumour),
        feature(pieces, classification={"names": ["Immune", "CD3"]}),
        feature(shapely.Point(1, 1)),
    )
    ids = found.images[0].painted().ids
    assert [(ids == number).sum() for number in (1, 2)] == [32, 10]
    assert ids[6, 5] == 0
    assert found.labels() == ["Immune: CD3", "Tumor"]
    assert found.left_out == {"feature of the type Point": 1}


def test_annotations_around_detections_are_left_out(tmp_path):
    found = read(tmp_path, feature(SQUARE), feature(shapely.box(3, 4, 5, 6), "detection", name="9"))
    assert found.left_out == {"annotation around detections": 1}
    assert set(np.unique(found.images[0].painted().ids)) == {0, 9}


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [one]])
def test_a_feature_alone_or_a_list(tmp_path, wrap):
    write_json(tmp_path / "a.geojson", wrap(feature(SQUARE)))
    found = read_geojson(tmp_path / "a.geojson", IMAGES)
    assert found.images[0].painted().ids.sum() == 36


def test_all_that_is_broken_is_told(tmp_path):
    polygon = {"type": "Polygon"}
    cases = {
        "geometry: Field required": {"type": "Feature"},
        "coordinates is no list": feature({**polygon, "coordinates": None}),
        "a polygon without a ring": feature({**polygon, "coordinates": []}),
        "a ring of shape (1, 2)": feature({**polygon, "coordinates": [[[0, 0]]]}),
        "the coordinate 1e+12": feature({**polygon, "coordinates": [[[0, 0], [1, 1], [1e12, 0]]]}),
        "properties.name": feature(SQUARE, name=["a"]),
    }
    with pytest.raises(ValueError, match="cannot be converted") as caught:
        read(tmp_path, *cases.values())
    lines = str(caught.value).splitlines()[1:]
    for number, (line, said) in enumerate(zip(lines, cases, strict=True)):
        assert f"features[{number}]: " in line
        assert said in line


def test_shapely_reads_what_is_written(tmp_path):
    ids = np.zeros((20, 30), np.int32)
    ids[2:9, 3:12] = 4
    ids[4:6, 5:7] = 0
    ids[10, 10] = ids[12, 12] = 2
    image = ObjectImage("a", "a.tif", ids, {4: "cell", 2: "object"})
    write_geojson(tmp_path / "a.geojson", image)
    two, four = read_json(tmp_path / "a.geojson")["features"]
    assert "classification" not in two["properties"]
    assert four["properties"]["classification"] == {"name": "cell"}
    for found, number in ((two, 2), (four, 4)):
        geometry = shapely.geometry.shape(found["geometry"])
        assert geometry.is_valid
        assert geometry.area == (ids == number).sum()
