"""Trained networks by name."""

from __future__ import annotations

from keras_unet3p.artifacts import Preset
from keras_unet3p.models.architectures.unet import unet
from keras_unet3p.models.segmentation_model import SegmentationModel

_BUILDERS = {"unet": unet}


def from_preset(name: str) -> SegmentationModel:
    """A trained network that comes with the package, not compiled.

    It is an ordinary network of this package: `fit` trains it further, `models.take_weights` gives
    its weights to another one, and `unet3p train --init nuclei` does so for images of your own.
    `workflow.open_model("nuclei")` is the network with what follows it: images of any size and
    kind in, instance ids out.

    - `"nuclei"`: nuclei in fluorescence images, one channel. It gives two maps (B, H, W, 2) from 0
      to 1, foreground and core (`targets.instance_maps`), of which `postprocessing.InstanceRule`
      makes instances. Images may have any scale of intensities, since each is stretched by its own
      percentiles. Trained on images of the 2018 Data Science Bowl (BBBC038v1, CC0; Caicedo et al.
      2019); its card, with figures and limits, is `artifacts.Preset("nuclei").card`.

    Args:
        name: of the preset.

    Raises:
        ValueError: there is none of that name.

    Example:
        >>> network = ku.models.from_preset("nuclei")
        >>> network(np.zeros((1, 64, 64, 1), np.float32)).shape.as_list()
        [1, 64, 64, 2]
    """
    preset = Preset(name)
    network = preset.network()
    model = _BUILDERS[network["architecture"]](**network["options"])
    weights = preset.layer_weights()
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(weights.pop(layer.name))
    assert not weights, f"no layers for {[*weights]}"
    return model
