"""The papers' parameter counts, and the shapes that they print."""

from __future__ import annotations

import numpy as np
import pytest

from keras_unet3p import models

DEEP = {"deep_supervision": True}
GUIDED = {"deep_supervision": True, "classification_guided": True}
AUTHORS = {"batch_norm": "encoder", "up_kernel_size": 4}

COUNTS = [
    (31_030_658, models.unet, (572, 572, 1), 2, {"padding": "valid"}),
    (34_512_258, models.unet, (None, None, 1), 2, {"upsampling": "bilinear"}),
    (7_759_554, models.unet, (None, None, 1), 2, {"filters": 32}),
    (1_940_834, models.unet, (None, None, 1), 2, {"filters": 16}),
    (39_394_881, models.unet, (None, None, 1), 1, {**AUTHORS, "head_kernel_size": 3}),
    (47_174_980, models.unetplusplus, (None, None, 1), 1, {**AUTHORS, **DEEP}),
    (26_970_625, models.unet3plus, (320, 320, 1), 1, {}),
    (26_971_777, models.unet3plus, (320, 320, 3), 1, {}),
    (26_988_485, models.unet3plus, (320, 320, 1), 1, DEEP),
    (26_989_637, models.unet3plus, (320, 320, 3), 1, DEEP),
    (26_990_535, models.unet3plus, (320, 320, 1), 1, GUIDED),
    (26_991_687, models.unet3plus, (320, 320, 3), 1, GUIDED),
]


@pytest.mark.parametrize(("count", "build", "shape", "classes", "options"), COUNTS)
def test_trainable_parameters(count, build, shape, classes, options):
    # Weights of zeros are quicker to make, and are as many.
    model = build(shape, classes, kernel_initializer="zeros", **options)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == count
    output = model.output["mask"] if isinstance(model.output, dict) else model.output
    lost = 2 * model.margin
    expected = tuple(None if size is None else size - lost for size in shape[:2])
    assert tuple(output.shape) == (None, *expected, classes)
    if options.get("padding") == "valid":
        assert expected == (388, 388)
        assert sum("conv" in layer.name or "_up" in layer.name for layer in model.layers) == 23
    if build is models.unet3plus:
        assert model.count_params() == count + 13_056
        for name, side in model.output.items() if isinstance(model.output, dict) else ():
            assert tuple(side.shape) == ((None, 2) if name == "presence" else (None, 320, 320, 1))
