"""Names, readers and order of a graph's nodes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p.graphs import nodes


@pytest.fixture
def graph_def():
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, (2,), name="x")
        with tf.control_dependencies([tf.constant(1.0, name="before")]):
            scale = tf.constant(2.0, name="scale")
        twice = tf.multiply(scale, tf.constant(3.0, name="three"), name="six")
        y = tf.multiply(x, twice, name="y")
        tf.add(y, y, name="z")
        tf.negative(x, name="unused")
    definition = graph.as_graph_def()
    definition.node.sort(key=lambda node: node.name, reverse=True)  # any order is a graph
    return definition


def test_what_a_tensor_needs(graph_def):
    by_name = nodes.nodes_by_name(graph_def)
    needed = {"z", "y", "x", "six", "scale", "three", "before"}
    assert nodes.needed_nodes(by_name, ["z:0", "elsewhere"]) == needed
    assert {node.name for node in nodes.part_for(graph_def, ["z:0"]).node} == needed


def test_every_node_comes_after_what_it_reads(graph_def):
    order = [node.name for node in nodes.in_running_order(graph_def)]
    assert sorted(order) == sorted(node.name for node in graph_def.node)
    for node in graph_def.node:
        for source in map(nodes.node_name, node.input):
            assert order.index(source) < order.index(node.name)


def test_what_does_not_depend_on_the_input(graph_def):
    assert nodes.constant_nodes(graph_def) == {"six", "scale", "three", "before"}


def test_a_node_can_be_changed_and_bypassed(graph_def):
    by_name, readers = nodes.nodes_by_name(graph_def), nodes.readers_by_name(graph_def)
    assert [reader.name for reader in readers["y"]] == ["z", "z"]
    assert "before" not in readers  # nobody reads its value
    nodes.set_constant(by_name["three"], np.float64(5.0))
    run = nodes.graph_function(graph_def, ["x:0"], ["z:0"])
    np.testing.assert_array_equal(run(tf.constant([1.0, 2.0]))[0], [20.0, 40.0])
    nodes.bypass(by_name["y"], "x:0", readers)
    run = nodes.graph_function(graph_def, ["x:0"], ["z:0"])
    np.testing.assert_array_equal(run(tf.constant([1.0, 2.0]))[0], [2.0, 4.0])
