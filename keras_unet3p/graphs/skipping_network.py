"""A network as a graph of constants, in two parts."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_unet3p.graphs.frozen_network import FrozenNetwork
from keras_unet3p.graphs.nodes import constant_nodes, graph_function, node_name, part_for


class SkippingNetwork(FrozenNetwork):
    """A network whose decoder runs only for tiles in which its presence head finds something."""

    def __init__(self, graph_def, tile, output, presence, activation: str) -> None:
        super().__init__(graph_def, tile, output)
        first = part_for(graph_def, [presence.name])
        known = {node.name for node in first.node}
        fixed = constant_nodes(graph_def)
        rest = tf.compat.v1.GraphDef()
        shared: dict[str, None] = {}  # an ordered set
        for node in self.graph_def.node:
            if node.name in known and node.name not in fixed:
                continue
            copy = rest.node.add()
            copy.CopyFrom(node)
            del copy.input[:]
            for name in node.input:
                if not name.startswith("^"):
                    copy.input.append(name)
                    if node_name(name) in known - fixed:
                        shared[name if ":" in name else f"{name}:0"] = None
        tensors = [output.graph.get_tensor_by_name(name) for name in shared]
        for i, tensor in enumerate(tensors):
            place = rest.node.add(op="Placeholder", name=f"shared_{i}")
            place.attr["dtype"].type = tensor.dtype.as_datatype_enum
            place.attr["shape"].shape.CopyFrom(tensor.shape.as_proto())
        places = {name: f"shared_{i}" for i, name in enumerate(shared)}
        for node in rest.node:
            for i, name in enumerate(node.input):
                node.input[i] = places.get(name if ":" in name else f"{name}:0", name)
        places_in_order = [f"{place}:0" for place in places.values()]
        self._first = graph_function(first, [tile.name], [presence.name, *shared])
        self._rest = graph_function(part_for(rest, [output.name]), places_in_order, [output.name])
        self._tensor_shapes = [tensor.shape for tensor in tensors]
        self._activation = activation

    def __call__(self, tiles: tf.Tensor) -> tf.Tensor:
        tiles = tf.convert_to_tensor(tiles)
        presence, *shared = self._first(tiles)
        present = self._holds_something(presence)
        count = tf.shape(tiles)[0]
        nothing = self._nothing(count)

        def decode() -> tf.Tensor:
            if tiles.shape[0] == 1:
                return self._rest(*shared)[0]
            chosen = tf.where(present)
            picked = [tf.gather(tensor, chosen[:, 0]) for tensor in shared]
            return tf.tensor_scatter_nd_update(nothing, chosen, self._rest(*picked)[0])

        return self._shaped(tf.cond(tf.reduce_any(present), decode, lambda: nothing))

    def _holds_something(self, presence: tf.Tensor) -> tf.Tensor:
        if self.num_classes == 1 and presence.shape[-1] == 2:
            return presence[:, 1] - presence[:, 0] > 0
        if self._activation == "softmax":  # class 0 is the background, which no gate takes away
            presence = presence[:, 1:]
        return tf.reduce_any(presence > 0, axis=1)

    def _nothing(self, count: tf.Tensor) -> tf.Tensor:
        empty = np.zeros((1, *self._shape), np.float32)
        if self._activation == "softmax":
            empty[..., 0] = 1.0
        return tf.repeat(tf.constant(empty), count, axis=0)
