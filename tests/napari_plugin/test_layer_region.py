"""Which pixels are segmented, and that the result lies on them."""

from types import SimpleNamespace

import numpy as np
import pytest

from keras_unet3p.errors import InputError

pytest.importorskip("napari", reason="napari is not installed: the plugin needs it")

from napari.components import ViewerModel
from napari.layers import Image

from keras_unet3p.napari_plugin.layer_region import LayerRegion


def world(layer, index):
    return np.asarray(layer.data_to_world(index))


def result_layer(viewer, image, region):
    labels = np.zeros(region.shape, np.uint8)
    return viewer.add_labels(labels, **region.placement(image))


def show(layer, top, left, bottom, right):
    """As a canvas does that shows this part of the world."""
    layer._update_draw(1.0, np.array([[top, left], [bottom, right]]), (100, 100))


@pytest.mark.parametrize(
    "placed",
    [
        {},
        {"scale": (0.5, 0.25), "translate": (10, -3)},
        {"scale": (2, 3), "rotate": 30, "shear": [0.4], "translate": (1, 2)},
        {"affine": [[0, 2, 5], [-1, 0, 7], [0, 0, 1]]},
    ],
    ids=str,
)
def test_the_view_s_result_lies_on_the_view(placed):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((60, 80)), **placed)
    image.corner_pixels = np.array([[10, 20], [29, 49]])
    region = LayerRegion.of(image, viewer.dims, in_view=True)
    assert region.size == (20, 30)
    assert region.corner == (10, 20)
    assert region.is_part
    labels = result_layer(viewer, image, region)
    for row, column in ((0, 0), (19, 29), (7, 3)):
        expected = world(image, (row + 10, column + 20))
        np.testing.assert_allclose(world(labels, (row, column)), expected, atol=1e-9)


@pytest.mark.parametrize("shear", [None, [0.4]])
def test_of_a_pyramid_the_view_is_of_its_level_and_lies_where_it_is(shear):
    viewer = ViewerModel()
    levels = [np.zeros((240, 320)), np.zeros((60, 80))]
    image = viewer.add_image(levels, multiscale=True, scale=(2, 3), translate=(5, 6), shear=shear)
    whole = LayerRegion.of(image, viewer.dims)
    assert whole.shape == (240, 320)
    assert not whole.is_part
    image._data_level = 1
    image.corner_pixels = np.array([[10, 20], [29, 49]])
    region = LayerRegion.of(image, viewer.dims, in_view=True)
    assert region.data is levels[1]
    assert region.size == (20, 30)
    labels = result_layer(viewer, image, region)
    # The corners of the level's pixels are those of four pixels of the image.
    for row, column in ((0, 0), (19, 29)):
        for low, corner in ((-0.5, -0.5), (0.5, 3.5)):
            expected = world(image, ((row + 10) * 4 + corner, (column + 20) * 4 + corner))
            found = world(labels, (row + low, column + low))
            np.testing.assert_allclose(found, expected, atol=1e-9)


def test_what_a_canvas_shows_is_the_view():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((60, 80)), scale=(2, 2))
    show(image, 20, 40, 38, 60)
    region = LayerRegion.of(image, viewer.dims, in_view=True)
    assert (region.start, region.stop) == ((10, 20), (20, 31))


def test_of_a_stack_the_current_slice_or_all_of_them():
    viewer = ViewerModel()
    data = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    image = viewer.add_image(data, scale=(5, 1, 1))
    viewer.dims.set_point(0, 10)
    region = LayerRegion.of(image, viewer.dims)
    ((place, plane),) = region.planes()
    assert place == (0,)
    np.testing.assert_array_equal(plane[:, :][..., 0], data[2])
    labels = result_layer(viewer, image, region)
    np.testing.assert_allclose(world(labels, (0, 0, 0)), (10, 0, 0))
    everything = LayerRegion.of(image, viewer.dims, all_slices=True)
    assert everything.shape == data.shape
    for (place, plane), expected in zip(everything.planes(), data, strict=True):
        np.testing.assert_array_equal(plane[1:, :2][..., 0], expected[1:, :2])
        assert place == (expected[0, 0] // 20,)


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 0, 1), (1, 2, 0)])
def test_planes_along_other_axes(order):
    viewer = ViewerModel()
    data = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    image = viewer.add_image(data)
    viewer.dims.order = order
    viewer.dims.set_point(order[0], 1)
    region = LayerRegion.of(image, viewer.dims)
    ((place, plane),) = region.planes()
    shown = data.transpose(order)[1]
    np.testing.assert_array_equal(plane[:, :][..., 0], shown)
    np.testing.assert_array_equal(plane[1:][..., 0], shown[1:])
    result = np.zeros(region.shape, int)
    region.plane_of(result, place)[...] = shown
    labels = viewer.add_labels(result, **region.placement(image))
    assert labels.get_value(world(image, (1, 1, 1)), world=True) == data[1, 1, 1]


def test_a_layer_of_fewer_axes_than_the_viewer():
    viewer = ViewerModel()
    image = viewer.add_image(np.arange(20).reshape(4, 5))
    viewer.add_image(np.zeros((3, 4, 5)))
    assert LayerRegion.of(image, viewer.dims).shape == (4, 5)
    viewer.dims.order = (1, 0, 2)
    with pytest.raises(InputError, match="not both of the axes"):
        LayerRegion.of(image, viewer.dims)


def test_colour_keeps_its_channels():
    viewer = ViewerModel()
    data = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    image = viewer.add_image(data, rgb=True)
    ((_, plane),) = LayerRegion.of(image, viewer.dims).planes()
    assert plane.shape == (4, 5, 3)
    np.testing.assert_array_equal(plane[1:3, 2:], data[1:3, 2:])


def test_nothing_to_segment_is_told():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((3, 60, 80)), name="cells")
    image.corner_pixels = np.array([[0, 70, 90], [0, 75, 95]])
    with pytest.raises(InputError, match="cells: nothing of it is in view"):
        LayerRegion.of(image, viewer.dims, in_view=True)
    viewer.dims.ndisplay = 3
    with pytest.raises(InputError, match="shows 3 dimensions"):
        LayerRegion.of(image, viewer.dims)


@pytest.mark.parametrize(
    ("units", "scale", "expected"),
    [
        (("um", "um"), (0.65, 0.65), 0.65),
        (("nm", "nm"), (40, 40), 0.04),
        (("pixel", "pixel"), (1, 1), None),
        (("um", "um"), (0.5, 0.6), None),
    ],
)
def test_the_pixel_size_is_told_where_the_layer_has_units(units, scale, expected):
    image = Image(np.zeros((8, 9)), units=units, scale=scale)
    dims = SimpleNamespace(ndim=2, ndisplay=2, displayed=(0, 1), point=(0.0, 0.0))
    assert LayerRegion.of(image, dims).pixel_size(image) == pytest.approx(expected)
