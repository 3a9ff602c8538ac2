"""Arrays as the regions of layers, for the tests of the napari plugin."""

from keras_unet3p.napari_plugin.layer_region import LayerRegion


def region_of(pixels, *, rgb=False, name="cells"):
    """All of an array (..., H, W), or with `rgb` (..., H, W, C)."""
    ndim = pixels.ndim - rgb
    return LayerRegion(
        pixels,
        (0,) * ndim,
        pixels.shape[:ndim],
        (ndim - 2, ndim - 1),
        (1.0,) * ndim,
        name,
        ndim if rgb else None,
        is_rgb=rgb,
    )
