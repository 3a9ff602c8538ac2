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


@pytest.mark.parametrize("axis", [0, 1])
def test_an_axis_of_channels_is_one_place_that_all_of_them_show(axis):
    viewer = ViewerModel()
    data = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)  # channels and times, or the other way
    image = viewer.add_image(data, scale=(7, 2, 0.5, 0.5), translate=(1, 2, 3, 4))
    viewer.dims.set_point(1 - axis, viewer.dims.range[1 - axis].stop)
    region = LayerRegion.of(image, viewer.dims, channel_axis=axis)
    ((place, plane),) = region.planes()
    assert place == (0,)
    assert not region.is_part
    shown = np.moveaxis(data, axis, -1)[-1]
    np.testing.assert_array_equal(plane[:, :], shown)
    np.testing.assert_array_equal(plane[1:3, 2:], shown[1:3, 2:])
    assert plane.shape == plane[:, :].shape
    result = np.zeros(region.shape, np.uint8)
    region.plane_of(result, place)[2, 3] = 1
    labels = viewer.add_labels(result, **region.placement(image))
    for channel in range(data.shape[axis]):
        index = [data.shape[0] - 1, data.shape[1] - 1, 2, 3]
        index[axis] = channel
        assert labels.get_value(world(image, index), world=True) == 1
    everything = LayerRegion.of(image, viewer.dims, channel_axis=axis, all_slices=True)
    assert len(list(everything.planes())) == data.shape[1 - axis]
    with pytest.raises(InputError, match="its axis of channels is shown as rows or columns"):
        LayerRegion.of(image, viewer.dims, channel_axis=3)


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 0, 1), (1, 2, 0)])
def test_channels_beside_any_two_axes(order):
    viewer = ViewerModel()
    data = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    image = viewer.add_image(data)
    viewer.dims.order = order
    ((_, plane),) = LayerRegion.of(image, viewer.dims, channel_axis=order[0]).planes()
    np.testing.assert_array_equal(plane[:, :], data.transpose(*order[1:], order[0]))


def test_layers_of_one_shape_are_the_channels_of_an_image():
    viewer = ViewerModel()
    data = np.arange(3 * 2 * 40 * 50).reshape(3, 2, 40, 50)
    layers = viewer.add_image(data, channel_axis=1, name=["red", "green"], scale=(1, 0.5, 0.5))
    viewer.dims.set_point(0, 2)
    region = LayerRegion.of_channels(layers, viewer.dims)
    assert region.name == "red + green"
    assert region.shape == (1, 40, 50)
    ((_, plane),) = region.planes()
    np.testing.assert_array_equal(plane[:, :], np.moveaxis(data[2], 0, -1))
    other_way = LayerRegion.of_channels(layers[::-1], viewer.dims, all_slices=True)
    last = [plane for _, plane in other_way.planes()][2]
    np.testing.assert_array_equal(last[1:, 3:], np.moveaxis(data[2, ::-1], 0, -1)[1:, 3:])


def test_of_pyramids_in_layers_the_level_of_a_visible_one_is_the_view():
    viewer = ViewerModel()
    levels = [np.zeros((2, 80, 60)), np.ones((2, 40, 30))]
    hidden, shown = viewer.add_image(levels, channel_axis=0, multiscale=True)
    hidden.visible = False
    shown._data_level = 1
    shown.corner_pixels = np.array([[10, 20], [29, 24]])
    region = LayerRegion.of_channels([hidden, shown], viewer.dims, in_view=True)
    ((_, plane),) = region.planes()
    assert plane.shape == (20, 5, 2)
    assert (plane[:, :] == 1).all()


@pytest.mark.parametrize(
    ("others", "text"),
    [
        ([], "image layers selected: 1; expected two or more"),
        ([{"data": np.zeros((4, 6), np.uint8)}], r"b: its shape is \(4, 6\), and that of a is"),
        ([{"data": np.zeros((4, 5), np.uint16)}], "b: its type is uint16, and that of a is uint8"),
        ([{"data": np.zeros((4, 5, 3), np.uint8), "rgb": True}], "b: it has colours"),
        ([{"data": np.zeros((4, 5), np.uint8), "scale": (1, 2)}], "b does not lie on a"),
    ],
)
def test_layers_that_are_no_channels_of_one_image_are_refused(others, text):
    viewer = ViewerModel()
    layers = [viewer.add_image(np.zeros((4, 5), np.uint8), name="a")]
    layers += [viewer.add_image(**other, name="b") for other in others]
    with pytest.raises(InputError, match=text):
        LayerRegion.of_channels(layers, viewer.dims)


def test_of_a_colour_the_opacity_can_be_left_out():
    viewer = ViewerModel()
    data = np.arange(4 * 5 * 4, dtype=np.uint8).reshape(4, 5, 4)
    colour = LayerRegion.of(viewer.add_image(data, rgb=True), viewer.dims)
    ((_, plane),) = colour.without_opacity().planes()
    assert plane.shape == (4, 5, 3)
    np.testing.assert_array_equal(plane[1:], data[1:, :, :3])
    four = viewer.add_image(np.moveaxis(data, -1, 0), channel_axis=0)
    kept = LayerRegion.of_channels(four, viewer.dims)  # the fourth is no opacity
    assert kept.without_opacity().data.shape == (4, 5, 4)


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
