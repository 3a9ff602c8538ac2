from __future__ import annotations

import pytest
import tensorflow as tf

from keras_unet3p.layers import InputSize


def image(height, width):
    return tf.zeros((1, height, width, 1))


@pytest.mark.parametrize(
    ("arguments", "size", "nearest"),
    [
        ({"divisor": 16}, 40, (32, 48)),
        ({"divisor": 16}, 3, (16, 16)),
        ({"divisor": 16}, 48, (48, 48)),
        ({"divisor": 16, "offset": 12, "minimum": 188}, 571, (556, 572)),
        ({"divisor": 16, "offset": 12, "minimum": 188}, 100, (188, 188)),
    ],
)
def test_names_the_sizes_that_would_do(arguments, size, nearest):
    layer = InputSize(**arguments)
    assert layer.nearest(size) == nearest
    if layer.fits(size):
        assert layer(image(size, size)).shape == (1, size, size, 1)
        return
    advice = " or ".join(map(str, sorted(set(nearest))))
    with pytest.raises(ValueError, match=f"Found height {size}; {advice} would do"):
        layer(image(size, nearest[0]))
    with pytest.raises(ValueError, match=f"Found width {size}; {advice} would do"):
        layer(image(nearest[0], size))


def test_dynamic_sizes_are_checked_when_the_graph_runs():
    layer = InputSize(16, offset=12, minimum=44)
    call = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 1))])
    assert call(image(44, 60)).shape == (1, 44, 60, 1)
    for height, width, advice in ((50, 60, "[44 60] [60 60]"), (12, 45, "[44 44] [44 60]")):
        with pytest.raises(tf.errors.InvalidArgumentError) as error:
            call(image(height, width))
        assert f"[{height} {width}]" in error.value.message
        assert advice in error.value.message


def test_refuses_an_impossible_rule():
    with pytest.raises(ValueError, match="offset"):
        InputSize(8, offset=8)
