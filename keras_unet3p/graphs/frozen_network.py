"""A network as a graph of constants."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_unet3p.graphs.nodes import graph_function, part_for


class FrozenNetwork:
    """Tiles (B, h, w, C) -> probabilities (B, h', w', K); a call of one function in any graph.

    Attributes:
        graph_def: the whole network as a graph.
        input_name, output_name: its tensors.
        num_classes: K.

    Example:
        >>> model = ku.models.unet(filters=4, depth=1)
        >>> network = ku.graphs.freeze_network(model, (32, 32), channels=1)
        >>> network.num_classes, network(np.zeros((2, 32, 32, 1), np.float32)).shape.as_list()
        (1, [2, 32, 32, 1])
    """

    def __init__(self, graph_def: Any, tile: tf.Tensor, output: tf.Tensor) -> None:
        self.graph_def = part_for(graph_def, [output.name])
        self.input_name, self.output_name = tile.name, output.name
        self._shape: tuple[Any, ...] = tuple(output.shape.as_list()[1:])
        self.num_classes = int(self._shape[-1])
        self._run = graph_function(self.graph_def, [tile.name], [output.name])

    def rename_output(self, name: str) -> None:
        """Gives the output of `graph_def` another name."""
        node = self.graph_def.node.add(op="Identity", name=name, input=[self.output_name])
        node.attr["T"].type = tf.float32.as_datatype_enum
        self.output_name = f"{name}:0"

    def __call__(self, tiles: tf.Tensor) -> tf.Tensor:
        return self._shaped(self._run(tf.convert_to_tensor(tiles))[0])

    def _shaped(self, probabilities: tf.Tensor) -> tf.Tensor:
        probabilities.set_shape((None, *self._shape))
        return probabilities
