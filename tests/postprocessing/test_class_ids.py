"""The threshold itself is foreground, in the graph, in NumPy, in metrics and pictures."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_unet3p import metrics, postprocessing
from keras_unet3p.geometry import TileGeometry
from keras_unet3p.postprocessing import is_foreground, to_class_ids, to_class_ids_in_graph
from keras_unet3p.postprocessing.class_ids import largest_id
from keras_unet3p.tiling.in_graph_tiler import InGraphTiler


@settings(max_examples=5, deadline=None)
@given(threshold=st.floats(1 / 64, 63 / 64, width=32), seed=st.integers(0, 1000))
@example(threshold=0.5, seed=0)
@example(threshold=float(np.float32(0.3)), seed=0)
def test_one_rule_everywhere(threshold, seed):
    t = np.float32(threshold)
    around = [np.nextafter(t, np.float32(0)), t, np.nextafter(t, np.float32(1)), 0.0, 1.0, np.nan]
    p = np.random.default_rng(seed).choice(np.array(around, np.float32), (8, 8))
    expected = np.greater_equal(p, t)
    np.testing.assert_array_equal(is_foreground(p, threshold), expected)
    np.testing.assert_array_equal(is_foreground(tf.constant(p), threshold), expected)
    np.testing.assert_array_equal(to_class_ids(p[..., None], threshold), expected)

    geometry = TileGeometry((8, 8), 0)
    tiler = InGraphTiler(lambda x: x, geometry, 1, threshold=threshold)
    np.testing.assert_array_equal(tiler.class_ids(tf.constant(p[None, ..., None]))[0], expected)

    p = np.where(np.isnan(p), 0, p)
    expected = p >= t
    labels = postprocessing.instances_from_probability(p, threshold=threshold)
    np.testing.assert_array_equal(labels > 0, expected)
    assert metrics.warping_error(expected, p, threshold=threshold).error == 0
    metric = metrics.Dice(threshold=threshold, include_background=True)
    metric.update_state(expected[None], p[None, ..., None])
    assert metric.result() == 1.0


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 6),
    st.booleans(),
    st.sampled_from([0.25, 0.5, 0.75]),
    st.integers(0, 1000),
)
@example(300, False, 0.5, 0)
def test_numpy_and_the_graph_decide_alike(num_classes, multi_label, threshold, seed):
    multi_label = multi_label and num_classes > 1
    rng = np.random.default_rng(seed)
    # A few values only, so that many are equal to each other and to the threshold.
    p = rng.choice(np.array([0, 0.25, 0.5, 0.75, 1], np.float32), (5, 7, num_classes))
    found = to_class_ids(p, threshold, multi_label=multi_label)
    in_graph = to_class_ids_in_graph(tf.constant(p), threshold, multi_label=multi_label)
    np.testing.assert_array_equal(found, in_graph)
    assert found.shape == ((5, 7, num_classes) if multi_label else (5, 7))
    assert found.dtype == (np.uint8 if num_classes <= 256 else np.uint16)
    assert in_graph.dtype == (tf.uint8 if num_classes <= 256 else tf.int32)
    assert found.max() <= largest_id(num_classes, multi_label)

    tiler = InGraphTiler(
        lambda x: x,
        TileGeometry((5, 7), 0),
        num_classes,
        threshold=threshold,
        multi_label=multi_label,
    )
    np.testing.assert_array_equal(tiler.class_ids(tf.constant(p[None]))[0], found)
